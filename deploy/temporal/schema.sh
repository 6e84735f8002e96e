#!/bin/sh
# Brings Temporal's databases to the schema of this server version; changes nothing where they are there.
# SQL_PASSWORD comes from the environment.
set -eu

migrate() {
    tool="temporal-sql-tool --plugin mysql8 --ep mysql -p 3306 -u temporal --db $1"
    # Writes version 0.0 only where there is no newer one.
    $tool setup-schema -v 0.0
    $tool update-schema -d "/etc/temporal/schema/mysql/v8/$2/versioned"
}

migrate temporal temporal
migrate temporal_visibility visibility
