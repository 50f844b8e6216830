#!/usr/bin/env bash
# The API with curl and nothing else but python3 to read JSON. NUMEN_URL says where the server is, NUMEN_API_KEY who you
# are (not needed in development mode).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
api="${NUMEN_URL:-http://127.0.0.1:8000}/api/v1"

call() { # METHOD PATH [BODY]
  local arguments=(-sS --fail-with-body -X "$1" "$api$2" -H 'content-type: application/json')
  if [ -n "${NUMEN_API_KEY:-}" ]; then arguments+=(-H "authorization: Bearer $NUMEN_API_KEY"); fi
  if [ $# -gt 2 ]; then arguments+=(-d "$3"); fi
  curl "${arguments[@]}"
}
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

echo "Who am I?"
call GET /me; echo

echo "An agent from a contract:"
id=$(call POST /agents @contracts/minimal.json | field id)
echo "$id"

echo "It answers:"
reply=$(call POST "/agents/$id/chat" '{"message": "Hello, who are you?"}')
echo "$reply" | field response
thread=$(echo "$reply" | field thread_id)

echo "The same thread again, as a stream of events:"
call POST "/agents/$id/chat/stream" "{\"message\": \"And what can you do?\", \"thread_id\": \"$thread\"}"

echo "Everything that was said:"
call GET "/threads/$thread/messages" | python3 -c 'import json, sys; [print(one["role"] + ":", one["content"]) for one in json.load(sys.stdin)]'

echo "A change of one trait is a new version:"
call PATCH "/agents/$id" '{"traits": {"empathy": 90}}' | field version

echo "What the API does not honour it refuses, and says where:"
call POST /agents '{"name": "Too kind", "identity": {"short_description": "x"}, "traits": {"empathy": 101}}' || echo

echo "Archived:"
call DELETE "/agents/$id"
call GET "/agents/$id" | field status
