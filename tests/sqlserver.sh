#!/usr/bin/env bash
# Runs every suite that needs a SQL Server, and the benchmark of the service as it ships, against the server of RECOGNIZE_TEST_SQLSERVER, a
# connection string whose login may create databases. What follows the script's name goes to the benchmark: tests/sqlserver.sh --rounds 1
# It prints the commit, a table of the suites and the benchmark's lines, and fails when anything did.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() { printf '%s\n' "$*" >&2; exit 1; }

[[ -n ${RECOGNIZE_TEST_SQLSERVER:-} ]] || fail 'Set RECOGNIZE_TEST_SQLSERVER to the connection string of a SQL Server where the login may create databases.'
command -v dotnet >/dev/null || fail 'The .NET SDK named in global.json is needed: https://dotnet.microsoft.com/download'

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# One line for each suite, out of the results of its tests.
table() {
    printf '%-60s %6s %6s %7s\n' suite passed failed skipped
    find "$work" -name '*.trx' -exec cat {} + | grep -o '<UnitTestResult [^>]*>' | awk '
        function attribute(name) { return match($0, " " name "=\"[^\"]*\"") ? substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 4) : "" }
        {
            name = attribute("testName")
            sub(/\(.*/, "", name)
            sub(/\.[^.]*$/, "", name)
            sub(/^Recognize\.Orleans\./, "", name)
            outcome = attribute("outcome")
            suites[name]
            if (outcome == "Passed") passed[name]++
            else if (outcome == "NotExecuted") skipped[name]++
            else failed[name]++
        }
        END { for (name in suites) printf "%-60s %6d %6d %7d\n", name, passed[name], failed[name], skipped[name] }' | sort
}

dotnet build -c Release
status=0
dotnet test tests/Recognize.Orleans.Tests -c Release --no-build --filter FullyQualifiedName~OnSqlServer --logger trx --results-directory "$work" || status=$?
dotnet run -c Release --no-build --project tests/Recognize.Orleans.Benchmarks -- --engines sqlserver --servers d "$@" >"$work/benchmark" 2>&1 || status=$?

printf '\ncommit %s\n\n' "$(git rev-parse HEAD)$(git diff --quiet HEAD || printf ' and what is not committed')"
table
printf '\n'
cat "$work/benchmark"
exit "$status"
