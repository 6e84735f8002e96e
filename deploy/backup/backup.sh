#!/bin/sh
# A copy of everything that the service has promised, while it runs: the databases as of one moment, then the
# files. What was changed since then is in the binary logs: binlogs.sh. How to use them: docs/backup.md
#
#   backup.sh FOLDER [options of the client, such as --host=mysql --user=root]
#
# The password comes from MYSQL_PWD. FOLDER must be new; where all ended well, what is in it is whole. Files that
# cannot be copied do not keep the databases out of it.
#   DATABASES   which, separated by blanks; by default Diagflow's and Temporal's
#   FILES       the folder of STORAGE_URL; without it, no files are copied
#   FILES_COPY  where they are copied to, beside earlier copies; by default FOLDER/../files
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
# The same option, by its name in each.
place=--master-data=2
if "$dump" --help 2>/dev/null | grep -q -- --source-data; then
    place=--source-data=2
fi

mkdir "$folder"
# One moment for all databases, without stopping anybody; the place in the binary logs stands at its head.
# shellcheck disable=SC2086 # the names are separate words
"$dump" "$@" --single-transaction "$place" --hex-blob --databases $databases >"$folder/dump.unfinished"
# Without its last line it was broken off, whatever the program said.
tail -n 1 "$folder/dump.unfinished" | grep -q '^-- Dump completed' || {
    echo "backup.sh: the dump was broken off" >&2
    exit 1
}
missing=
if [ -n "${FILES:-}" ]; then
    # After the databases: each file that they name is there.
    "$(dirname "$0")/files.sh" "$FILES" "${FILES_COPY:-$folder/../files}" || missing=yes
fi
gzip <"$folder/dump.unfinished" >"$folder/dump.sql.gz.unfinished"
rm "$folder/dump.unfinished"
mv "$folder/dump.sql.gz.unfinished" "$folder/dump.sql.gz"
if [ -n "$missing" ]; then
    echo "backup.sh: $folder/dump.sql.gz has the databases, but their files are not all copied: see above" >&2
    exit 1
fi
echo "backup.sh: $folder/dump.sql.gz is whole"
