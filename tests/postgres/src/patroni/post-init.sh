#!/bin/sh
# Patroni calls this once, on the first node, with how to reach the new cluster.
psql -qX -v ON_ERROR_STOP=1 "$1" <<'SQL'
CREATE ROLE pax LOGIN CREATEDB PASSWORD 'LEDGER_PASSWORD';
CREATE DATABASE pax OWNER pax TEMPLATE template0 ENCODING 'UTF8';
SQL
