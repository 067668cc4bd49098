-- Run once by the PostgreSQL image, as its superuser, on an empty volume: the login that migrates, and the one that
-- works. Neither is a superuser, and the workers' can change no schema.
\set ON_ERROR_STOP on
\getenv migrate_password MIGRATE_PASSWORD
\getenv worker_password WORKER_PASSWORD

create role cortex login createrole password :'migrate_password';
create role cortex_worker nologin;
create role worker login password :'worker_password' in role cortex_worker;
create database cortex owner cortex;
