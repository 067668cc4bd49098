#!/usr/bin/env bash
# Run once by the PostgreSQL image, on an empty volume: the login that migrates and works is no superuser.
set -euo pipefail
psql --username "$POSTGRES_USER" --set ON_ERROR_STOP=1 --set password="$CORTEX_PASSWORD" <<'SQL'
create role cortex login createrole password :'password';
create database cortex owner cortex;
SQL
