-- Run once, by the image of PostgreSQL, as its administrator when the volume is empty. The service's login owns its database and nothing else.
\getenv password RECOGNIZE_PASSWORD
CREATE ROLE recognize LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE DATABASE recognize OWNER recognize;
REVOKE ALL ON DATABASE recognize FROM PUBLIC;
