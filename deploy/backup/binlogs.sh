#!/bin/sh
# Copies what happened since a backup, into its folder: the binary logs, and new files. With that, it is restored to
# any moment since. To be run every few minutes: what it has not copied yet is lost with the server's disk.
#
#   binlogs.sh BACKUP [options of the client, such as --host=mysql --user=root]
#
# BACKUP is the folder of a backup of this very server: another one's logs have the same names. The password comes
# from MYSQL_PWD; FILES and FILES_COPY as for backup.sh.
set -eu
umask 077
backup=${1:?usage: binlogs.sh BACKUP [options of the client]}
shift
binlog=$(command -v mariadb-binlog || command -v mysqlbinlog) || {
    echo "binlogs.sh: neither mariadb-binlog nor mysqlbinlog is on the PATH" >&2
    exit 1
}
folder=$backup/binlogs
first=$(gzip -dc "$backup/dump.sql.gz" | sed -n "s/^-- CHANGE .*_LOG_FILE='\([^']*\)'.*/\1/p;/_LOG_FILE/q")
if [ -z "$first" ]; then
    echo "binlogs.sh: $backup/dump.sql.gz names no binary log: does the server write any?" >&2
    exit 1
fi
mkdir -p "$folder"
# The newest copy may have grown since; those before it are whole.
newest=$(find "$folder" -type f | sed 's,.*/,,' | sort | tail -n 1)
rm -rf "$folder.unfinished"
mkdir "$folder.unfinished"
# Aside first: a server that dies meanwhile must not take the copy along. The result's "file" is how names begin.
"$binlog" "$@" --read-from-remote-server --raw --to-last-log --result-file="$folder.unfinished/" "${newest:-$first}"
mv "$folder.unfinished"/* "$folder/"
rmdir "$folder.unfinished"
echo "binlogs.sh: copied from ${newest:-$first} on"
if [ -n "${FILES:-}" ]; then
    "$(dirname "$0")/files.sh" "$FILES" "${FILES_COPY:-$backup/../files}"
fi
