-- Write, 1
--@service nvarchar(150),@until datetime2(7),@cluster nvarchar(150),@address varchar(45),@port int,@generation int,@h0 int,@g0 int,@t0 nvarchar(150),@k0 nvarchar(512),@p0 varbinary(max) ,@v0 int,@w0 varchar(220),@o0 varchar(220),@d0 varchar(220)
SET NOCOUNT ON;
SET XACT_ABORT ON;
SET LOCK_TIMEOUT 2000;
DECLARE @changed INT;
DECLARE @fence INT;
DECLARE @rows TABLE
(
    Item INT NOT NULL PRIMARY KEY,
    Outcome INT NOT NULL,
    KeyHash INT NOT NULL,
    TypeHash INT NOT NULL,
    Type NVARCHAR(150) COLLATE Latin1_General_100_BIN2 NOT NULL,
    [Key] NVARCHAR(512) COLLATE Latin1_General_100_BIN2 NOT NULL,
    Payload VARBINARY(MAX) NULL,
    Version INT NULL,
    OwnerKey VARCHAR(220) COLLATE Latin1_General_100_BIN2 NULL,
    OpenKey VARCHAR(220) COLLATE Latin1_General_100_BIN2 NULL,
    DueKey VARCHAR(220) COLLATE Latin1_General_100_BIN2 NULL
);
SET @fence = CASE
    WHEN SYSUTCDATETIME() >= @until THEN 3
    WHEN @address IS NOT NULL AND NOT EXISTS
    (
        SELECT 1 FROM OrleansMembershipTable AS member JOIN RecognizeCluster AS cluster ON cluster.ServiceId = @service AND cluster.ClusterId = member.DeploymentId
        WHERE member.DeploymentId = @cluster AND member.Address = @address AND member.Port = @port AND member.Generation = @generation AND member.Status <> 6
    ) THEN 4
    ELSE 1 END;
INSERT INTO @rows (Item, Outcome, KeyHash, TypeHash, Type, [Key], Payload, Version, OwnerKey, OpenKey, DueKey)
SELECT given.Item, @fence, given.KeyHash, given.TypeHash, given.Type, given.[Key], given.Payload, given.Version, given.OwnerKey, given.OpenKey, given.DueKey
FROM (VALUES
    (0, @h0, @g0, @t0, @k0, @p0, @v0, @w0, @o0, @d0)) AS given (Item, KeyHash, TypeHash, Type, [Key], Payload, Version, OwnerKey, OpenKey, DueKey)
WHERE given.KeyHash IS NOT NULL;
BEGIN TRANSACTION;
UPDATE r
SET Outcome = 2
FROM @rows AS r LEFT LOOP JOIN OrleansStorage AS s WITH (FORCESEEK) ON s.GrainIdHash = r.KeyHash AND s.GrainTypeHash = r.TypeHash AND s.GrainIdExtensionString = r.[Key] AND s.GrainTypeString = r.Type AND s.ServiceId = @service
WHERE r.Outcome = 1 AND COALESCE(s.Version, -1) <> COALESCE(r.Version, -1);
INSERT INTO OrleansStorage
    (GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, PayloadBinary, ModifiedOn, Version, OwnerKey, OpenKey, DueKey)
SELECT r.KeyHash, 0, 0, r.TypeHash, r.Type, r.[Key], @service, r.Payload, SYSUTCDATETIME(), 1, r.OwnerKey, r.OpenKey, r.DueKey
FROM @rows AS r
WHERE r.Outcome = 1 AND r.Version IS NULL;
UPDATE s
SET PayloadBinary = r.Payload, ModifiedOn = SYSUTCDATETIME(), Version = r.Version + 1, OwnerKey = r.OwnerKey, OpenKey = r.OpenKey, DueKey = r.DueKey
FROM @rows AS r INNER LOOP JOIN OrleansStorage AS s ON s.GrainIdHash = r.KeyHash AND s.GrainTypeHash = r.TypeHash AND s.GrainIdExtensionString = r.[Key] AND s.GrainTypeString = r.Type AND s.ServiceId = @service AND s.Version = r.Version
WHERE r.Outcome = 1 AND r.Payload IS NOT NULL;
SET @changed = @@ROWCOUNT;
DELETE s
FROM @rows AS r INNER LOOP JOIN OrleansStorage AS s ON s.GrainIdHash = r.KeyHash AND s.GrainTypeHash = r.TypeHash AND s.GrainIdExtensionString = r.[Key] AND s.GrainTypeString = r.Type AND s.ServiceId = @service AND s.Version = r.Version
WHERE r.Outcome = 1 AND r.Payload IS NULL;
SET @changed = @changed + @@ROWCOUNT;
IF @changed <> (SELECT COUNT(r.Version) FROM @rows AS r WHERE r.Outcome = 1) THROW 50001, N'Another writer was faster.', 1;
IF @fence = 1 AND SYSUTCDATETIME() >= @until THROW 50002, N'The batch was held up for too long.', 1;
SELECT r.Item, r.Outcome FROM @rows AS r;
COMMIT TRANSACTION;
GO

-- Read, 1
--@service nvarchar(150),@h0 int,@g0 int,@t0 nvarchar(150),@k0 nvarchar(512)
SET NOCOUNT ON;
SET XACT_ABORT ON;
SET LOCK_TIMEOUT 2000;
SELECT given.Item, s.PayloadBinary, s.Version
FROM (VALUES
    (0, @h0, @g0, @t0, @k0)) AS given (Item, KeyHash, TypeHash, Type, [Key])
INNER LOOP JOIN OrleansStorage AS s WITH (FORCESEEK) ON s.GrainIdHash = given.KeyHash AND s.GrainTypeHash = given.TypeHash AND s.GrainIdExtensionString = given.[Key] COLLATE Latin1_General_100_BIN2 AND s.GrainTypeString = given.Type COLLATE Latin1_General_100_BIN2 AND s.ServiceId = @service
WHERE given.KeyHash IS NOT NULL;
GO

-- Read open rows, 1
--@service nvarchar(150),@a0 varchar(220),@b0 varchar(220),@c0 int
SET NOCOUNT ON;
SET XACT_ABORT ON;
SET LOCK_TIMEOUT 2000;
SELECT given.Item, found.Place, found.GrainKey, found.PayloadBinary
FROM (VALUES
    (0, @a0, @b0, @c0)) AS given (Item, [After], [Before], Most)
CROSS APPLY
(
    SELECT TOP (given.Most) s.OpenKey AS Place, CAST(NULL AS NVARCHAR(512)) AS GrainKey, s.PayloadBinary FROM OrleansStorage AS s WITH (FORCESEEK)
    WHERE s.ServiceId = @service AND s.OpenKey IS NOT NULL AND s.OpenKey > given.[After] COLLATE Latin1_General_100_BIN2 AND s.OpenKey < given.[Before] COLLATE Latin1_General_100_BIN2
    ORDER BY s.OpenKey ASC
) AS found
WHERE given.Most > 0
ORDER BY given.Item, found.Place ASC;
GO

-- Read the last rows of owners, 1
--@service nvarchar(150),@a0 varchar(220),@b0 varchar(220),@c0 int
SET NOCOUNT ON;
SET XACT_ABORT ON;
SET LOCK_TIMEOUT 2000;
SELECT given.Item, found.Place, found.GrainKey, found.PayloadBinary
FROM (VALUES
    (0, @a0, @b0, @c0)) AS given (Item, [After], [Before], Most)
CROSS APPLY
(
    SELECT TOP (given.Most) s.OwnerKey AS Place, CAST(NULL AS NVARCHAR(512)) AS GrainKey, s.PayloadBinary FROM OrleansStorage AS s WITH (FORCESEEK)
    WHERE s.ServiceId = @service AND s.OwnerKey IS NOT NULL AND s.OwnerKey > given.[After] COLLATE Latin1_General_100_BIN2 AND s.OwnerKey < given.[Before] COLLATE Latin1_General_100_BIN2
    ORDER BY s.OwnerKey DESC
) AS found
WHERE given.Most > 0
ORDER BY given.Item, found.Place DESC;
GO

-- Write, 4
--@service nvarchar(150),@until datetime2(7),@cluster nvarchar(150),@address varchar(45),@port int,@generation int,@h0 int,@g0 int,@t0 nvarchar(150),@k0 nvarchar(512),@p0 varbinary(max) ,@v0 int,@w0 varchar(220),@o0 varchar(220),@d0 varchar(220),@h1 int,@g1 int,@t1 nvarchar(150),@k1 nvarchar(512),@p1 varbinary(max) ,@v1 int,@w1 varchar(220),@o1 varchar(220),@d1 varchar(220),@h2 int,@g2 int,@t2 nvarchar(150),@k2 nvarchar(512),@p2 varbinary(max) ,@v2 int,@w2 varchar(220),@o2 varchar(220),@d2 varchar(220),@h3 int,@g3 int,@t3 nvarchar(150),@k3 nvarchar(512),@p3 varbinary(max) ,@v3 int,@w3 varchar(220),@o3 varchar(220),@d3 varchar(220)
SET NOCOUNT ON;
SET XACT_ABORT ON;
SET LOCK_TIMEOUT 2000;
DECLARE @changed INT;
DECLARE @fence INT;
DECLARE @rows TABLE
(
    Item INT NOT NULL PRIMARY KEY,
    Outcome INT NOT NULL,
    KeyHash INT NOT NULL,
    TypeHash INT NOT NULL,
    Type NVARCHAR(150) COLLATE Latin1_General_100_BIN2 NOT NULL,
    [Key] NVARCHAR(512) COLLATE Latin1_General_100_BIN2 NOT NULL,
    Payload VARBINARY(MAX) NULL,
    Version INT NULL,
    OwnerKey VARCHAR(220) COLLATE Latin1_General_100_BIN2 NULL,
    OpenKey VARCHAR(220) COLLATE Latin1_General_100_BIN2 NULL,
    DueKey VARCHAR(220) COLLATE Latin1_General_100_BIN2 NULL
);
SET @fence = CASE
    WHEN SYSUTCDATETIME() >= @until THEN 3
    WHEN @address IS NOT NULL AND NOT EXISTS
    (
        SELECT 1 FROM OrleansMembershipTable AS member JOIN RecognizeCluster AS cluster ON cluster.ServiceId = @service AND cluster.ClusterId = member.DeploymentId
        WHERE member.DeploymentId = @cluster AND member.Address = @address AND member.Port = @port AND member.Generation = @generation AND member.Status <> 6
    ) THEN 4
    ELSE 1 END;
INSERT INTO @rows (Item, Outcome, KeyHash, TypeHash, Type, [Key], Payload, Version, OwnerKey, OpenKey, DueKey)
SELECT given.Item, @fence, given.KeyHash, given.TypeHash, given.Type, given.[Key], given.Payload, given.Version, given.OwnerKey, given.OpenKey, given.DueKey
FROM (VALUES
    (0, @h0, @g0, @t0, @k0, @p0, @v0, @w0, @o0, @d0),
    (1, @h1, @g1, @t1, @k1, @p1, @v1, @w1, @o1, @d1),
    (2, @h2, @g2, @t2, @k2, @p2, @v2, @w2, @o2, @d2),
    (3, @h3, @g3, @t3, @k3, @p3, @v3, @w3, @o3, @d3)) AS given (Item, KeyHash, TypeHash, Type, [Key], Payload, Version, OwnerKey, OpenKey, DueKey)
WHERE given.KeyHash IS NOT NULL;
BEGIN TRANSACTION;
UPDATE r
SET Outcome = 2
FROM @rows AS r LEFT LOOP JOIN OrleansStorage AS s WITH (FORCESEEK) ON s.GrainIdHash = r.KeyHash AND s.GrainTypeHash = r.TypeHash AND s.GrainIdExtensionString = r.[Key] AND s.GrainTypeString = r.Type AND s.ServiceId = @service
WHERE r.Outcome = 1 AND COALESCE(s.Version, -1) <> COALESCE(r.Version, -1);
INSERT INTO OrleansStorage
    (GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, PayloadBinary, ModifiedOn, Version, OwnerKey, OpenKey, DueKey)
SELECT r.KeyHash, 0, 0, r.TypeHash, r.Type, r.[Key], @service, r.Payload, SYSUTCDATETIME(), 1, r.OwnerKey, r.OpenKey, r.DueKey
FROM @rows AS r
WHERE r.Outcome = 1 AND r.Version IS NULL;
UPDATE s
SET PayloadBinary = r.Payload, ModifiedOn = SYSUTCDATETIME(), Version = r.Version + 1, OwnerKey = r.OwnerKey, OpenKey = r.OpenKey, DueKey = r.DueKey
FROM @rows AS r INNER LOOP JOIN OrleansStorage AS s ON s.GrainIdHash = r.KeyHash AND s.GrainTypeHash = r.TypeHash AND s.GrainIdExtensionString = r.[Key] AND s.GrainTypeString = r.Type AND s.ServiceId = @service AND s.Version = r.Version
WHERE r.Outcome = 1 AND r.Payload IS NOT NULL;
SET @changed = @@ROWCOUNT;
DELETE s
FROM @rows AS r INNER LOOP JOIN OrleansStorage AS s ON s.GrainIdHash = r.KeyHash AND s.GrainTypeHash = r.TypeHash AND s.GrainIdExtensionString = r.[Key] AND s.GrainTypeString = r.Type AND s.ServiceId = @service AND s.Version = r.Version
WHERE r.Outcome = 1 AND r.Payload IS NULL;
SET @changed = @changed + @@ROWCOUNT;
IF @changed <> (SELECT COUNT(r.Version) FROM @rows AS r WHERE r.Outcome = 1) THROW 50001, N'Another writer was faster.', 1;
IF @fence = 1 AND SYSUTCDATETIME() >= @until THROW 50002, N'The batch was held up for too long.', 1;
SELECT r.Item, r.Outcome FROM @rows AS r;
COMMIT TRANSACTION;
GO

-- Read, 4
--@service nvarchar(150),@h0 int,@g0 int,@t0 nvarchar(150),@k0 nvarchar(512),@h1 int,@g1 int,@t1 nvarchar(150),@k1 nvarchar(512),@h2 int,@g2 int,@t2 nvarchar(150),@k2 nvarchar(512),@h3 int,@g3 int,@t3 nvarchar(150),@k3 nvarchar(512)
SET NOCOUNT ON;
SET XACT_ABORT ON;
SET LOCK_TIMEOUT 2000;
SELECT given.Item, s.PayloadBinary, s.Version
FROM (VALUES
    (0, @h0, @g0, @t0, @k0),
    (1, @h1, @g1, @t1, @k1),
    (2, @h2, @g2, @t2, @k2),
    (3, @h3, @g3, @t3, @k3)) AS given (Item, KeyHash, TypeHash, Type, [Key])
INNER LOOP JOIN OrleansStorage AS s WITH (FORCESEEK) ON s.GrainIdHash = given.KeyHash AND s.GrainTypeHash = given.TypeHash AND s.GrainIdExtensionString = given.[Key] COLLATE Latin1_General_100_BIN2 AND s.GrainTypeString = given.Type COLLATE Latin1_General_100_BIN2 AND s.ServiceId = @service
WHERE given.KeyHash IS NOT NULL;
GO

-- Read open rows, 4
--@service nvarchar(150),@a0 varchar(220),@b0 varchar(220),@c0 int,@a1 varchar(220),@b1 varchar(220),@c1 int,@a2 varchar(220),@b2 varchar(220),@c2 int,@a3 varchar(220),@b3 varchar(220),@c3 int
SET NOCOUNT ON;
SET XACT_ABORT ON;
SET LOCK_TIMEOUT 2000;
SELECT given.Item, found.Place, found.GrainKey, found.PayloadBinary
FROM (VALUES
    (0, @a0, @b0, @c0),
    (1, @a1, @b1, @c1),
    (2, @a2, @b2, @c2),
    (3, @a3, @b3, @c3)) AS given (Item, [After], [Before], Most)
CROSS APPLY
(
    SELECT TOP (given.Most) s.OpenKey AS Place, CAST(NULL AS NVARCHAR(512)) AS GrainKey, s.PayloadBinary FROM OrleansStorage AS s WITH (FORCESEEK)
    WHERE s.ServiceId = @service AND s.OpenKey IS NOT NULL AND s.OpenKey > given.[After] COLLATE Latin1_General_100_BIN2 AND s.OpenKey < given.[Before] COLLATE Latin1_General_100_BIN2
    ORDER BY s.OpenKey ASC
) AS found
WHERE given.Most > 0
ORDER BY given.Item, found.Place ASC;
GO

-- Read the last rows of owners, 4
--@service nvarchar(150),@a0 varchar(220),@b0 varchar(220),@c0 int,@a1 varchar(220),@b1 varchar(220),@c1 int,@a2 varchar(220),@b2 varchar(220),@c2 int,@a3 varchar(220),@b3 varchar(220),@c3 int
SET NOCOUNT ON;
SET XACT_ABORT ON;
SET LOCK_TIMEOUT 2000;
SELECT given.Item, found.Place, found.GrainKey, found.PayloadBinary
FROM (VALUES
    (0, @a0, @b0, @c0),
    (1, @a1, @b1, @c1),
    (2, @a2, @b2, @c2),
    (3, @a3, @b3, @c3)) AS given (Item, [After], [Before], Most)
CROSS APPLY
(
    SELECT TOP (given.Most) s.OwnerKey AS Place, CAST(NULL AS NVARCHAR(512)) AS GrainKey, s.PayloadBinary FROM OrleansStorage AS s WITH (FORCESEEK)
    WHERE s.ServiceId = @service AND s.OwnerKey IS NOT NULL AND s.OwnerKey > given.[After] COLLATE Latin1_General_100_BIN2 AND s.OwnerKey < given.[Before] COLLATE Latin1_General_100_BIN2
    ORDER BY s.OwnerKey DESC
) AS found
WHERE given.Most > 0
ORDER BY given.Item, found.Place DESC;
GO

-- Read keys of open rows
--@service nvarchar(150),@a0 varchar(220),@b0 varchar(220),@c0 int
SET NOCOUNT ON;
SET XACT_ABORT ON;
SET LOCK_TIMEOUT 2000;
SELECT given.Item, found.Place, found.GrainKey, found.PayloadBinary
FROM (VALUES
    (0, @a0, @b0, @c0)) AS given (Item, [After], [Before], Most)
CROSS APPLY
(
    SELECT TOP (given.Most) s.OpenKey AS Place, CAST(NULL AS NVARCHAR(512)) AS GrainKey, CAST(NULL AS VARBINARY(MAX)) AS PayloadBinary FROM OrleansStorage AS s WITH (FORCESEEK)
    WHERE s.ServiceId = @service AND s.OpenKey IS NOT NULL AND s.OpenKey > given.[After] COLLATE Latin1_General_100_BIN2 AND s.OpenKey < given.[Before] COLLATE Latin1_General_100_BIN2
    ORDER BY s.OpenKey ASC
) AS found
WHERE given.Most > 0
ORDER BY given.Item, found.Place ASC;
GO

-- Read grain keys of what is due
--@service nvarchar(150),@a0 varchar(220),@b0 varchar(220),@c0 int
SET NOCOUNT ON;
SET XACT_ABORT ON;
SET LOCK_TIMEOUT 2000;
SELECT given.Item, found.Place, found.GrainKey, found.PayloadBinary
FROM (VALUES
    (0, @a0, @b0, @c0)) AS given (Item, [After], [Before], Most)
CROSS APPLY
(
    SELECT TOP (given.Most) s.DueKey AS Place, s.GrainIdExtensionString AS GrainKey, CAST(NULL AS VARBINARY(MAX)) AS PayloadBinary FROM OrleansStorage AS s WITH (FORCESEEK)
    WHERE s.ServiceId = @service AND s.DueKey IS NOT NULL AND s.DueKey > given.[After] COLLATE Latin1_General_100_BIN2 AND s.DueKey < given.[Before] COLLATE Latin1_General_100_BIN2
    ORDER BY s.DueKey ASC
) AS found
WHERE given.Most > 0
ORDER BY given.Item, found.Place ASC;
GO

-- Count open rows
--@ServiceId nvarchar(150),@After varchar(220),@Before varchar(220)
SET LOCK_TIMEOUT 2000;
SELECT COUNT(*) FROM OrleansStorage WHERE ServiceId = @ServiceId AND OpenKey > @After AND OpenKey < @Before
GO

-- Read the clock
--
SET LOCK_TIMEOUT 2000;
SELECT SYSUTCDATETIME()
GO

-- Look
--@ServiceId nvarchar(150),@ClusterId nvarchar(150),@Address varchar(45),@Port int,@Generation int
SET LOCK_TIMEOUT 2000;
SELECT SYSUTCDATETIME(),
    (SELECT Status FROM OrleansMembershipTable WHERE DeploymentId = @ClusterId AND Address = @Address AND Port = @Port AND Generation = @Generation),
    (SELECT ClusterId FROM RecognizeCluster WHERE ServiceId = @ServiceId),
    CASE DATABASEPROPERTYEX(DB_NAME(), 'Updateability') WHEN 'READ_ONLY' THEN 1 ELSE 0 END
GO

-- Claim
--@ServiceId nvarchar(150),@ClusterId nvarchar(150)
SET LOCK_TIMEOUT 2000;
SET NOCOUNT ON;
BEGIN TRY
    INSERT INTO RecognizeCluster (ServiceId, ClusterId, ClaimedAt, NewestTime)
    SELECT @ServiceId, @ClusterId, SYSUTCDATETIME(), SYSUTCDATETIME()
    WHERE NOT EXISTS (SELECT 1 FROM RecognizeCluster WHERE ServiceId = @ServiceId);
END TRY
BEGIN CATCH
    IF ERROR_NUMBER() NOT IN (2601, 2627) THROW;
END CATCH;

UPDATE RecognizeCluster
SET ClusterId = @ClusterId, ClaimedAt = SYSUTCDATETIME()
WHERE ServiceId = @ServiceId
    AND (ClusterId = @ClusterId
        OR (ClaimedAt < DATEADD(SECOND, -15, SYSUTCDATETIME())
            AND NOT EXISTS
            (
                SELECT 1 FROM OrleansMembershipTable AS silo
                WHERE silo.DeploymentId = RecognizeCluster.ClusterId AND silo.Status <> 6
                    AND silo.IAmAliveTime > DATEADD(SECOND, -15, SYSUTCDATETIME())
                    AND silo.IAmAliveTime < DATEADD(SECOND, 15, SYSUTCDATETIME())
            )));

SELECT ClusterId, NewestTime, SweepsFrom FROM RecognizeCluster WHERE ServiceId = @ServiceId;
GO

-- Renew the claim
--@ServiceId nvarchar(150),@ClusterId nvarchar(150),@Newest datetime2(7)
SET LOCK_TIMEOUT 2000;
UPDATE RecognizeCluster SET ClaimedAt = SYSUTCDATETIME(), NewestTime = CASE WHEN NewestTime < @Newest THEN @Newest ELSE NewestTime END
WHERE ServiceId = @ServiceId AND ClusterId = @ClusterId
GO

-- Hold sweeps
--@ServiceId nvarchar(150),@Until datetime2(7)
SET LOCK_TIMEOUT 2000;
UPDATE RecognizeCluster SET SweepsFrom = @Until WHERE ServiceId = @ServiceId
GO

-- Check the database
--
SET LOCK_TIMEOUT 2000;
SELECT
    CAST(DATABASEPROPERTYEX(DB_NAME(), 'Updateability') AS NVARCHAR(60)),
    CAST(SERVERPROPERTY('ProductVersion') AS NVARCHAR(128)),
    CAST(SERVERPROPERTY('EngineEdition') AS INT),
    (SELECT CAST(compatibility_level AS INT) FROM sys.databases WHERE name = DB_NAME());
SELECT OBJECT_NAME(object_id), name, collation_name
FROM sys.columns
WHERE object_id IN (OBJECT_ID(N'OrleansStorage'), OBJECT_ID(N'RecognizeCluster'), OBJECT_ID(N'OrleansMembershipTable'))
    AND name IN (N'GrainIdExtensionString', N'GrainTypeString', N'ServiceId', N'OwnerKey', N'OpenKey', N'DueKey', N'ClusterId', N'DeploymentId');
GO

-- Check the schema
--
SELECT CASE WHEN OBJECT_ID(N'RecognizeSchema', N'U') IS NULL THEN 0 ELSE 1 END
GO

-- Lock the schema
--
DECLARE @Result INT;
EXEC @Result = sp_getapplock @Resource = N'Recognize.Orleans.Schema', @LockMode = 'Exclusive', @LockOwner = 'Session', @LockTimeout = 1800000;
IF @Result < 0 THROW 50000, N'Another process holds the lock for schema changes.', 1;
GO

-- Unlock the schema
--
EXEC sp_releaseapplock @Resource = N'Recognize.Orleans.Schema', @LockOwner = 'Session';
GO

-- Check the rights
--
SET LOCK_TIMEOUT 2000;
SELECT QueryKey FROM OrleansQuery WHERE 1 = 0
GO

-- Check the rights, 2
--
SET LOCK_TIMEOUT 2000;
SELECT ServiceId FROM OrleansStorage WHERE 1 = 0
GO

-- Check the rights, 3
--
SET LOCK_TIMEOUT 2000;
INSERT INTO OrleansStorage (ServiceId) SELECT '' WHERE 1 = 0
GO

-- Check the rights, 4
--
SET LOCK_TIMEOUT 2000;
UPDATE OrleansStorage SET ServiceId = '' WHERE 1 = 0
GO

-- Check the rights, 5
--
SET LOCK_TIMEOUT 2000;
DELETE FROM OrleansStorage WHERE 1 = 0
GO

-- Check the rights, 6
--
SET LOCK_TIMEOUT 2000;
SELECT ServiceId FROM RecognizeCluster WHERE 1 = 0
GO

-- Check the rights, 7
--
SET LOCK_TIMEOUT 2000;
INSERT INTO RecognizeCluster (ServiceId) SELECT '' WHERE 1 = 0
GO

-- Check the rights, 8
--
SET LOCK_TIMEOUT 2000;
UPDATE RecognizeCluster SET ServiceId = '' WHERE 1 = 0
GO

-- Check the rights, 9
--
SET LOCK_TIMEOUT 2000;
DELETE FROM RecognizeCluster WHERE 1 = 0
GO

-- Check the rights, 10
--
SET LOCK_TIMEOUT 2000;
SELECT DeploymentId FROM OrleansMembershipTable WHERE 1 = 0
GO

-- Check the rights, 11
--
SET LOCK_TIMEOUT 2000;
INSERT INTO OrleansMembershipTable (DeploymentId) SELECT '' WHERE 1 = 0
GO

-- Check the rights, 12
--
SET LOCK_TIMEOUT 2000;
UPDATE OrleansMembershipTable SET DeploymentId = '' WHERE 1 = 0
GO

-- Check the rights, 13
--
SET LOCK_TIMEOUT 2000;
DELETE FROM OrleansMembershipTable WHERE 1 = 0
GO

-- Check the rights, 14
--
SET LOCK_TIMEOUT 2000;
SELECT DeploymentId FROM OrleansMembershipVersionTable WHERE 1 = 0
GO

-- Check the rights, 15
--
SET LOCK_TIMEOUT 2000;
INSERT INTO OrleansMembershipVersionTable (DeploymentId) SELECT '' WHERE 1 = 0
GO

-- Check the rights, 16
--
SET LOCK_TIMEOUT 2000;
UPDATE OrleansMembershipVersionTable SET DeploymentId = '' WHERE 1 = 0
GO

-- Check the rights, 17
--
SET LOCK_TIMEOUT 2000;
DELETE FROM OrleansMembershipVersionTable WHERE 1 = 0
GO

