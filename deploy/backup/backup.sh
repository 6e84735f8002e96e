#!/bin/sh
# Backs up the databases and then the files while the service is running. The backup of the databases is a consistent
# snapshot. binlogs.sh copies later changes from the binary logs. See docs/backup.md.
#
#   backup.sh FOLDER [options of mysqldump, such as --host=mysql --user=root]
#
# The password comes from MYSQL_PWD. FOLDER must not exist. If the script succeeds, the backup is complete. Even if some
# files cannot be copied, the databases are backed up. Environment variables:
#   DATABASES   databases to back up, separated by spaces (default: the databases of Diagflow and Temporal)
#   FILES       folder of STORAGE_URL (if this variable is not set, no files are copied)
#   FILES_COPY  target folder of the files, which all backups share (default: FOLDER/../files)
set -eu
umask 077
folder=${1:?usage: backup.sh FOLDER [options of mysqldump]}
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
# Dumps one snapshot of all databases. The first lines contain its position in the binary logs.
# shellcheck disable=SC2086 # the database names are separate words
"$dump" "$@" --single-transaction "$position" --hex-blob --databases $databases >"$folder/dump.unfinished"
# A dump without this last line is incomplete, even if the exit status was 0.
tail -n 1 "$folder/dump.unfinished" | grep -q '^-- Dump completed' || {
    echo "backup.sh: the dump is incomplete" >&2
    exit 1
}
missing=
if [ -n "${FILES:-}" ]; then
    # Files are copied after the databases, so that the copy contains every file to which the databases refer.
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
