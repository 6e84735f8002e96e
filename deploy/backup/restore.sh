#!/bin/sh
# Brings a backup back into an empty server, and what happened since from its binary logs, up to a moment. Then
# run `diagflow after-restore`, before the API and the workers start. How to use it: docs/backup.md
#
#   restore.sh BACKUP [--until 'YYYY-MM-DD HH:MM:SS'] [options of the client]
#
# The time is UTC; what was done in that second and later is left out. The password comes from MYSQL_PWD.
set -eu
backup=${1:?usage: restore.sh BACKUP [--until TIME] [options of the client]}
shift
until=
if [ "${1:-}" = --until ]; then
    until=${2:?--until needs a time}
    shift 2
fi
binlogs=
[ -d "$backup/binlogs" ] && binlogs=$backup/binlogs
if [ -n "$until" ] && [ -z "$binlogs" ]; then
    echo "restore.sh: --until needs $backup/binlogs: the backup itself is of one moment only" >&2
    exit 1
fi

program() {
    for name in "$@"; do
        command -v "$name" && return
    done
    echo "restore.sh: none of these programs is on the PATH: $*" >&2
    exit 1
}
client=$(program mariadb mysql)
# What has data is not written over.
held=$("$client" "$@" --batch --skip-column-names --execute "
    SELECT CONCAT(table_schema, '.', table_name) FROM information_schema.tables
    WHERE table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema') LIMIT 1")
if [ -n "$held" ]; then
    echo "restore.sh: the server is not empty, it has $held: restore into a new one" >&2
    exit 1
fi

gzip --test "$backup/dump.sql.gz"
gzip -dc "$backup/dump.sql.gz" | "$client" "$@"
echo "restore.sh: the backup is back"
if [ -n "$binlogs" ]; then
    place=$(gzip -dc "$backup/dump.sql.gz" | grep -m 1 '^-- CHANGE .*_LOG_FILE=')
    first=$(echo "$place" | sed "s/.*_LOG_FILE='\([^']*\)'.*/\1/")
    position=$(echo "$place" | sed 's/.*_LOG_POS=\([0-9]*\).*/\1/')
    binlog=$(program mariadb-binlog mysqlbinlog)
    # In the order of their numbers, from the backup's own on.
    files=$(cd "$binlogs" && find . -name "${first%.*}.[0-9]*" | sed 's,^\./,,' | sort | awk -v first="$first" '$0 >= first')
    case $files in
    "$first"*) ;;
    *)
        echo "restore.sh: $binlogs does not have $first, with which the backup goes on" >&2
        exit 1
        ;;
    esac
    # First as a whole, so that logs that cannot be read are not taken for their end.
    statements=$(mktemp)
    trap 'rm -f "$statements"' EXIT
    # Times are read as of this zone.
    # shellcheck disable=SC2086 # the names have no blanks
    (cd "$binlogs" && TZ=UTC "$binlog" --start-position="$position" ${until:+"--stop-datetime=$until"} $files) >"$statements"
    "$client" "$@" --binary-mode <"$statements"
    echo "restore.sh: what happened since${until:+, up to $until,} is back too"
fi
