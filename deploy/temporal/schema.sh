#!/bin/sh
# Migrates Temporal's databases to the schema of this server version. Does nothing if they are up to date.
# SQL_PASSWORD comes from the environment.
set -eu

migrate() {
    tool="temporal-sql-tool --plugin mysql8 --ep mysql -p 3306 -u temporal --db $1"
    # Sets version 0.0 only if the database has no version yet.
    $tool setup-schema -v 0.0
    $tool update-schema -d "/etc/temporal/schema/mysql/v8/$2/versioned"
}

migrate temporal temporal
migrate temporal_visibility visibility
