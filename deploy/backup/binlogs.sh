#!/bin/sh
# Copies the binary logs from a backup on: with them, that backup is restored to any moment since. To be run
# every few minutes, for what it has not copied yet is lost with the server's disk.
#
#   binlogs.sh BACKUP FOLDER [options of the client, such as --host=mysql --user=root]
#
# BACKUP is the folder of a backup. The password comes from MYSQL_PWD.
set -eu
backup=${1:?usage: binlogs.sh BACKUP FOLDER [options of the client]}
folder=${2:?usage: binlogs.sh BACKUP FOLDER [options of the client]}
shift 2
binlog=$(command -v mariadb-binlog || command -v mysqlbinlog) || {
    echo "binlogs.sh: neither mariadb-binlog nor mysqlbinlog is on the PATH" >&2
    exit 1
}
first=$(gzip -dc "$backup/dump.sql.gz" | sed -n "s/^-- CHANGE .*_LOG_FILE='\([^']*\)'.*/\1/p;/_LOG_FILE/q")
if [ -z "$first" ]; then
    echo "binlogs.sh: $backup/dump.sql.gz names no binary log: does the server write any?" >&2
    exit 1
fi
mkdir -p "$folder"
# The result's "file" is the beginning of each name.
"$binlog" "$@" --read-from-remote-server --raw --to-last-log --result-file="$folder/" "$first"
echo "binlogs.sh: copied from $first on"
