#!/bin/sh
# Restores a backup to an empty server, and then the later changes from the binary logs, up to a given time. After this
# script, run `diagflow after-restore` before you start the API and the workers. See docs/backup.md.
#
#   restore.sh BACKUP [--until 'YYYY-MM-DD HH:MM:SS'] [options of mysql]
#
# The time is in UTC. Changes at or after this time are not restored. The password comes from MYSQL_PWD.
set -eu
backup=${1:?usage: restore.sh BACKUP [--until TIME] [options of mysql]}
shift
until=
if [ "${1:-}" = --until ]; then
    until=${2:?--until needs a time}
    shift 2
fi
binlogs=
[ -d "$backup/binlogs" ] && binlogs=$backup/binlogs
if [ -n "$until" ] && [ -z "$binlogs" ]; then
    echo "restore.sh: --until needs $backup/binlogs: without it, only the time of the backup can be restored" >&2
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
# Existing data is never overwritten.
existing=$("$client" "$@" --batch --skip-column-names --execute "
    SELECT CONCAT(table_schema, '.', table_name) FROM information_schema.tables
    WHERE table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema') LIMIT 1")
if [ -n "$existing" ]; then
    echo "restore.sh: the server is not empty: it has the table $existing. Restore into a new server." >&2
    exit 1
fi

gzip --test "$backup/dump.sql.gz"
gzip -dc "$backup/dump.sql.gz" | "$client" "$@"
echo "restore.sh: restored the backup"
if [ -n "$binlogs" ]; then
    change=$(gzip -dc "$backup/dump.sql.gz" | grep -m 1 '^-- CHANGE .*_LOG_FILE=')
    first=$(echo "$change" | sed "s/.*_LOG_FILE='\([^']*\)'.*/\1/")
    position=$(echo "$change" | sed 's/.*_LOG_POS=\([0-9]*\).*/\1/')
    binlog=$(program mariadb-binlog mysqlbinlog)
    # All logs in numerical order, beginning with the log in which the backup was made.
    files=$(cd "$binlogs" && find . -name "${first%.*}.[0-9]*" | sed 's,^\./,,' | sort | awk -v first="$first" '$0 >= first')
    case $files in
    "$first"*) ;;
    *)
        echo "restore.sh: $first, the first binary log after the backup, is missing in $binlogs" >&2
        exit 1
        ;;
    esac
    # All logs are read before any change is applied, so that no change is applied if a log is unreadable.
    statements=$(mktemp)
    trap 'rm -f "$statements"' EXIT
    # mysqlbinlog interprets --stop-datetime in the local time zone.
    # shellcheck disable=SC2086 # the file names contain no spaces
    (cd "$binlogs" && TZ=UTC "$binlog" --start-position="$position" ${until:+"--stop-datetime=$until"} $files) >"$statements"
    "$client" "$@" --binary-mode <"$statements"
    echo "restore.sh: restored the later changes${until:+ up to $until}"
fi
