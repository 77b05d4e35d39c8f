# For the checks; source it first. Everything runs from the repo's root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# The repo's files that match the patterns: tracked, and new ones that are not ignored; not those just deleted.
files() {
    git ls-files -z -co --exclude-standard -- "$@" | sort -zu | while IFS= read -r -d '' file; do
        if [[ -f $file ]]; then printf '%s\0' "$file"; fi
    done
}

# in_files GREP-ARGUMENTS: the matching lines of the files of stdin (NUL separated) as FILE:LINE:TEXT; none is no error.
in_files() { xargs -0 -r grep -nIH "$@" -- || (($? == 123)); }

# without PATTERN: drops lines; dropping all is no error.
without() { grep -vE "$1" || true; }

# found TEXT: prints findings (stdin) with TEXT behind each; fails if there are any.
found() {
    local status=0 line
    while IFS= read -r line; do
        printf '%s: %s\n' "$line" "$1"
        status=1
    done
    return $status
}

# Runs a command for each file of stdin (NUL separated), as many at a time as there are cores; fails if one fails.
each() { xargs -0 -r -n "${EACH:-1}" -P "$(nproc)" "$@"; }
