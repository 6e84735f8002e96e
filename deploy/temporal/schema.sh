#!/bin/sh
# Migrates Temporal's databases to the schema of the installed Temporal version. Does nothing if the databases are up to
# date. The tool reads the password from SQL_PASSWORD.
set -eu

migrate() {
    tool="temporal-sql-tool --plugin mysql8 --ep mysql -p 3306 -u temporal --db $1"
    # Sets the schema version to 0.0 only if the database has no schema version yet.
    $tool setup-schema -v 0.0
    $tool update-schema -d "/etc/temporal/schema/mysql/v8/$2/versioned"
}

migrate temporal temporal
migrate temporal_visibility visibility
