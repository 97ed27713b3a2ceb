#!/usr/bin/env bash
# Asks a user to approve something and waits for the end. Exit code 0: approved. Start: examples/relying-party.sh A1B2C3D4E5F6 'Pay $500'
set -Eeuo pipefail
user=${1:-A1B2C3D4E5F6} payload=${2:-Pay \$500 to account 1234}
url=${RECOGNIZE_URL:-http://localhost:8080}
id=txn-$(date +%s%N)-$RANDOM

# curl comes again by itself after 429 and 503, when Retry-After says so. Any other error ends the script.
call() {
    curl --silent --show-error --fail-with-body --retry 5 --header "X-Api-Key: ${RECOGNIZE_KEY:-demo-backend-key}" "$@"
}

# A JSON text of any text without control characters.
payload=${payload//\\/\\\\}
payload=${payload//\"/\\\"}

# The same Idempotency-Key each time: a create whose answer was lost can be sent again.
call "$url/v2/users/$user/operations" --header 'Content-Type: application/json' --header "Idempotency-Key: $id" \
    --data "{\"operationId\":\"$id\",\"operationPayload\":\"$payload\",\"expiresIn\":300}" >&2

operation='"status":"pending"'
while [[ $operation == *'"status":"pending"'* ]]; do
    operation=$(call "$url/v2/operations/$id" --header 'Prefer: wait=60')
done

printf '%s\n' "$operation"
[[ $operation == *'"status":"approved"'* ]]
