#!/bin/sh
# Copies the files of STORAGE_URL's folder that the copy does not have yet. Called by the other scripts.
#
#   files.sh FROM TO
#
# A file's name is its SHA-256, so a file never changes, and a copy that is not whole shows.
set -eu
umask 077
from=${1:?usage: files.sh FROM TO}
to=${2:?usage: files.sh FROM TO}
copied=0
mkdir -p "$to"
for path in $(cd "$from" && find . -type f | grep -E '^\./[0-9a-f]{2}/[0-9a-f]{64}$'); do
    [ -e "$to/$path" ] && continue
    mkdir -p "$to/${path%/*}"
    # One that is gone by now was named by no submission.
    cp "$from/$path" "$to/$path.unfinished" 2>/dev/null || continue
    digest=$(sha256sum "$to/$path.unfinished")
    if [ "${digest%% *}" != "${path##*/}" ]; then
        echo "files.sh: $from/$path is not what its name says; it was not copied" >&2
        rm "$to/$path.unfinished"
        continue
    fi
    mv "$to/$path.unfinished" "$to/$path"
    copied=$((copied + 1))
done
echo "files.sh: $copied new files in $to"
