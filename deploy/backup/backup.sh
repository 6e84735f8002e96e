#!/bin/sh
# Backs up the databases and then the files, without stopping the service. The databases are a consistent snapshot.
# Later changes are in the binary logs: binlogs.sh. See docs/backup.md.
#
#   backup.sh FOLDER [options of the client, such as --host=mysql --user=root]
#
# The password comes from MYSQL_PWD. FOLDER must not exist. If the script succeeds, the backup is complete. If some
# files cannot be copied, the databases are backed up anyway.
#   DATABASES   databases to back up, separated by blanks; by default those of Diagflow and Temporal
#   FILES       the folder of STORAGE_URL; without it, no files are copied
#   FILES_COPY  where files are copied to, together with those of earlier backups; by default FOLDER/../files
set -eu
umask 077
folder=${1:?usage: backup.sh FOLDER [options of the client]}
shift
databases=${DATABASES:-diagflow temporal temporal_visibility}

program() {
    for name in "$@"; do
        command -v "$name" && return
    done
    echo "backup.sh: none of these programs is on the PATH: $*" >&2
    exit 1
}
dump=$(program mariadb-dump mysqldump)
# MariaDB and MySQL name this option differently.
position=--master-data=2
if "$dump" --help 2>/dev/null | grep -q -- --source-data; then
    position=--source-data=2
fi

mkdir "$folder"
# One snapshot of all databases, without locking them. Its position in the binary logs is in the first lines.
# shellcheck disable=SC2086 # the names are separate words
"$dump" "$@" --single-transaction "$position" --hex-blob --databases $databases >"$folder/dump.unfinished"
# Without this last line the dump is incomplete, whatever the exit status was.
tail -n 1 "$folder/dump.unfinished" | grep -q '^-- Dump completed' || {
    echo "backup.sh: the dump is incomplete" >&2
    exit 1
}
missing=
if [ -n "${FILES:-}" ]; then
    # After the databases, so that every file they refer to exists.
    "$(dirname "$0")/files.sh" "$FILES" "${FILES_COPY:-$folder/../files}" || missing=yes
fi
gzip <"$folder/dump.unfinished" >"$folder/dump.sql.gz.unfinished"
rm "$folder/dump.unfinished"
mv "$folder/dump.sql.gz.unfinished" "$folder/dump.sql.gz"
if [ -n "$missing" ]; then
    echo "backup.sh: $folder/dump.sql.gz contains the databases, but some files were not copied: see above" >&2
    exit 1
fi
echo "backup.sh: $folder/dump.sql.gz is complete"
