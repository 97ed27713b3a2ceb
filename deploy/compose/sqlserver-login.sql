-- Run at every start by sqlcmd, as the server's administrator. The service's login owns its database and nothing else.
-- sqlcmd takes $(RECOGNIZE_PASSWORD) from the environment.
IF SUSER_ID(N'recognize') IS NULL
    CREATE LOGIN recognize WITH PASSWORD = N'$(RECOGNIZE_PASSWORD)';
IF DB_ID(N'recognize') IS NULL
BEGIN
    CREATE DATABASE recognize;
    -- Reports over the view stay out of the way of writes.
    ALTER DATABASE recognize SET READ_COMMITTED_SNAPSHOT ON;
END;
GO
ALTER AUTHORIZATION ON DATABASE::recognize TO recognize;
GO
