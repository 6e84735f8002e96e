#!/bin/sh
# Copies new files from the folder of STORAGE_URL to the backup. backup.sh and binlogs.sh call this script.
#
#   files.sh SOURCE TARGET
#
# The name of a file is its SHA-256, so files never change, and an incomplete copy is detected. The script succeeds only
# if the backup contains all files. If a file cannot be copied, the script still copies all other files.
set -eu
umask 077
source=${1:?usage: files.sh SOURCE TARGET}
target=${2:?usage: files.sh SOURCE TARGET}
if [ ! -d "$source" ]; then
    # Without this check, a wrong path would look like a backup without files.
    echo "files.sh: no such folder: $source" >&2
    exit 1
fi
copied=0
failed=0
mkdir -p "$target"
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT
found=$(cd "$source" && LC_ALL=C find . -type f 2>"$errors") || {
    # A temporary file may disappear while `find` runs.
    if [ ! -s "$errors" ] || grep -v 'No such file or directory$' "$errors" >&2; then
        failed=1
    fi
}
for path in $(echo "$found" | grep -E '^\./[0-9a-f]{2}/[0-9a-f]{64}$'); do
    [ -e "$target/$path" ] && continue
    unfinished=$target/$path.unfinished
    if error=$({ mkdir -p "$target/${path%/*}" && cp "$source/$path" "$unfinished"; } 2>&1); then
        digest=$(sha256sum "$unfinished") || digest=
        if [ "${digest%% *}" = "${path##*/}" ]; then
            mv "$unfinished" "$target/$path"
            copied=$((copied + 1))
            continue
        fi
        error="the content of $source/$path does not match its name"
    elif [ ! -e "$source/$path" ] && [ -d "$source/${path%/*}" ]; then
        # An orphaned file was deleted while this script was running. The folder of a file is never deleted.
        continue
    fi
    rm -f "$unfinished"
    echo "files.sh: not copied: $error" >&2
    failed=$((failed + 1))
done
echo "files.sh: copied $copied new files to $target"
if [ "$failed" -gt 0 ]; then
    echo "files.sh: some files are missing in $target" >&2
    exit 1
fi
