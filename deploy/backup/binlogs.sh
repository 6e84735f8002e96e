#!/bin/sh
# Copies the changes since a backup, which are the binary logs and new files, into the folder of the backup. The database
# can then be restored to any time since the backup. Run this script every few minutes, because changes after its last
# run are lost if the server's disk fails.
#
#   binlogs.sh BACKUP [options of mysqlbinlog, such as --host=mysql --user=root]
#
# BACKUP must be the folder of a backup of the same server, because the logs of another server have the same names. The
# password comes from MYSQL_PWD. FILES and FILES_COPY have the same meaning as for backup.sh.
set -eu
umask 077
backup=${1:?usage: binlogs.sh BACKUP [options of mysqlbinlog]}
shift
binlog=$(command -v mariadb-binlog || command -v mysqlbinlog) || {
    echo "binlogs.sh: neither mariadb-binlog nor mysqlbinlog is on the PATH" >&2
    exit 1
}
folder=$backup/binlogs
first=$(gzip -dc "$backup/dump.sql.gz" | sed -n "s/^-- CHANGE .*_LOG_FILE='\([^']*\)'.*/\1/p;/_LOG_FILE/q")
if [ -z "$first" ]; then
    echo "binlogs.sh: $backup/dump.sql.gz names no binary log: is binary logging enabled?" >&2
    exit 1
fi
mkdir -p "$folder"
# The newest copied log may have grown since the last run. Earlier logs are complete.
newest=$(find "$folder" -type f | sed 's,.*/,,' | sort | tail -n 1)
rm -rf "$folder.unfinished"
mkdir "$folder.unfinished"
# The logs are first copied into a separate folder, so that the existing copy stays intact if the server fails during the
# copy. The value of --result-file is the prefix of the file names.
"$binlog" "$@" --read-from-remote-server --raw --to-last-log --result-file="$folder.unfinished/" "${newest:-$first}"
mv "$folder.unfinished"/* "$folder/"
rmdir "$folder.unfinished"
echo "binlogs.sh: copied ${newest:-$first} and later logs"
if [ -n "${FILES:-}" ]; then
    "$(dirname "$0")/files.sh" "$FILES" "${FILES_COPY:-$backup/../files}"
fi
