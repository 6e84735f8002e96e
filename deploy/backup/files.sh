#!/bin/sh
# Copies the files of STORAGE_URL's folder that the copy does not have yet. Called by the other scripts.
#
#   files.sh FROM TO
#
# A file's name is its SHA-256, so a file never changes, and a copy that is not whole shows. Ends well only if all
# files are in the copy; one that cannot be copied keeps no other out of it.
set -eu
umask 077
from=${1:?usage: files.sh FROM TO}
to=${2:?usage: files.sh FROM TO}
if [ ! -d "$from" ]; then
    # No files would look the same.
    echo "files.sh: there is no folder $from" >&2
    exit 1
fi
copied=0
failed=0
mkdir -p "$to"
complaints=$(mktemp)
trap 'rm -f "$complaints"' EXIT
found=$(cd "$from" && LC_ALL=C find . -type f 2>"$complaints") || {
    # A file that is being stored may be gone before it is looked at.
    if [ ! -s "$complaints" ] || grep -v 'No such file or directory$' "$complaints" >&2; then
        failed=1
    fi
}
for path in $(echo "$found" | grep -E '^\./[0-9a-f]{2}/[0-9a-f]{64}$'); do
    [ -e "$to/$path" ] && continue
    unfinished=$to/$path.unfinished
    if said=$({ mkdir -p "$to/${path%/*}" && cp "$from/$path" "$unfinished"; } 2>&1); then
        digest=$(sha256sum "$unfinished") || digest=
        if [ "${digest%% *}" = "${path##*/}" ]; then
            mv "$unfinished" "$to/$path"
            copied=$((copied + 1))
            continue
        fi
        said="$from/$path is not what its name says"
    elif [ ! -e "$from/$path" ] && [ -d "$from/${path%/*}" ]; then
        # It was swept since it was found: no submission names it. Its folder never goes.
        continue
    fi
    rm -f "$unfinished"
    echo "files.sh: not copied: $said" >&2
    failed=$((failed + 1))
done
echo "files.sh: $copied new files in $to"
if [ "$failed" -gt 0 ]; then
    echo "files.sh: not all files are in $to" >&2
    exit 1
fi
