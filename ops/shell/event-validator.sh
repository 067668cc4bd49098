#!/usr/bin/env bash
# Checks events by the rules that need no look at the database, and makes event ids.
#
#   event-validator.sh JSON            prints "Event validation passed", or "ERROR: ..." and exits with 1
#   event-validator.sh --generate-id   prints a new event id
#   source event-validator.sh          for validate_event and generate_event_id
#
# Needs bash 4.2 or later and jq 1.5 or later. Sourced, it changes no option and no variable of the script.

# Reads an event as raw text from standard input, or with $part a payload, around which it builds the event. Prints
# "bad" and what is wrong, or "ok", the id, "dubious" where a character may stand for bytes that are no UTF-8, the
# sum of a spool's line (see SpoolLine.java; 0 unless $sum) and the event on one line, with every number as it was
# written.
_CORTEX_CHECK='
def text($name): .[$name] | type == "string" and length >= 1 and length <= 200;
def moment($name):
  .[$name]
  | type == "string"
    and test("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,30})?(Z|[+-](0[0-9]|1[0-8])(:?[0-5][0-9])?)$")
    and (.[0:19] as $second
         | (try ($second | strptime("%Y-%m-%dT%H:%M:%S") | mktime | strftime("%Y-%m-%dT%H:%M:%S")) catch "") == $second);
def wrong($what; $name): "Invalid \($what): \(.[$name] | tostring | .[0:200])";
def defect:
  . as $event
  | if type != "object" then "Invalid event: must be a JSON object"
    else
      ((["event_id", "event_type", "timestamp", "source"] - [$event | to_entries[] | select(.value != null and .value != false) | .key])
        as $missing
       | if $missing != [] then "Missing required field: \($missing[0])" else null end)
      // (if ($event.event_id | type == "string" and test("^evt_[0-9]{8}_[0-9]{6}_[a-z0-9]+$") and length <= 100) | not
          then wrong("event_id format"; "event_id") else null end)
      // (if moment("timestamp") | not then wrong("timestamp format"; "timestamp") else null end)
      // (if (text("event_type") and (.event_type | test("^[a-z][a-z0-9_]*([.][a-z0-9_]+)+$"))) | not
          then wrong("event_type"; "event_type") else null end)
      // (if text("source") | not then "Invalid source: must be a text of 1 to 200 characters" else null end)
      // (if .payload != null and (.payload | type != "object") then "Invalid payload: must be a JSON object" else null end)
      // (if .metadata != null and (.metadata | type != "object") then "Invalid metadata: must be a JSON object" else null end)
      // (if .metadata.priority != null and ([.metadata.priority] - ["critical", "high", "medium", "low"]) != []
          then "Invalid priority: \(.metadata.priority | tostring | .[0:200])" else null end)
      // (if .run_at != null and (moment("run_at") | not) then wrong("run_at format"; "run_at") else null end)
      // (["correlation_id", "key", "dedupe_key", "causation_id"]
          | map(select(. as $name | $event[$name] != null and ($name != "correlation_id" or $event[$name] != "")
                                    and ($event | text($name) | not)))
          | if . != [] then "Invalid \(.[0]): must be a text of 1 to 200 characters" else null end)
      // (($event | keys) - ["event_id", "event_type", "timestamp", "source", "correlation_id", "metadata", "payload",
                             "key", "dedupe_key", "run_at", "causation_id"]
          | if . != [] then "Unknown field: \(.[0][0:200])" else null end)
    end;
(if $part == "payload" then
   if (try (fromjson | true) catch false) then
     "{\"event_id\":\($id | tojson),\"event_type\":\($type | tojson),\"timestamp\":\($time | tojson),\"source\":\($source | tojson),"
     + (if $correlation == "" then "" else "\"correlation_id\":\($correlation | tojson)," end)
     + "\"metadata\":{\"priority\":\($priority | tojson)},\"payload\":\(.)}"
   else "" end
 else . end)
| . as $given
| (try [fromjson] catch []) as $parsed
| if $parsed == [] then "bad", (if $part == "payload" then "Invalid payload: must be JSON" else "Invalid JSON" end)
  else
    ($parsed[0] | defect) as $defect
    | if $defect != null then "bad", ($defect | gsub("[\\x00-\\x1f\\x7f]"; " "))
      else
        (if $cause != "" and $parsed[0].causation_id == null
         then "{\"causation_id\":\($cause | tojson)," + $given[1:] else $given end)
        | "ok",
          $parsed[0].event_id,
          (if contains("\ufffd") then "dubious" else "clear" end),
          (if $sum then reduce explode[] as $c (0; (. * 257 + $c + 1) % 17592186044399) else 0 end),
          .
      end
  end'

# The text on one line and without blanks around it, in _cortex_text. A line break in JSON is a blank.
_cortex_one_line() { # TEXT
  local LC_ALL=C
  _cortex_text=${1//$'\n'/ }
  _cortex_text=${_cortex_text//$'\r'/ }
  _cortex_text=${_cortex_text#"${_cortex_text%%[! $'\t']*}"}
  _cortex_text=${_cortex_text%"${_cortex_text##*[! $'\t']}"}
}

# Checks an event, or with "payload" in front what create_event is given. On success 0, and its id, sum and text are in
# the array _cortex_event. JQ-OPTIONS come on top.
_cortex_check() { # event|payload TEXT SUM(true|false) JQ-OPTIONS...
  local part=$1 sum=$3 answer
  _cortex_one_line "$2"
  shift 3
  if ! command -v jq >/dev/null 2>&1; then
    echo "ERROR: jq is required for event validation" >&2
    return 1
  fi
  # Of two arguments of one name, jq takes the first.
  answer=$(printf '%s' "$_cortex_text" | jq -Rrs --arg part "$part" --argjson sum "$sum" \
    --arg cause "$(_cortex_cause)" "$@" --arg id '' --arg type '' --arg time '' --arg source '' --arg correlation '' \
    --arg priority '' "$_CORTEX_CHECK") || {
    echo "ERROR: Invalid JSON" >&2
    return 1
  }
  local IFS=$'\n' line
  _cortex_event=()
  while IFS= read -r line; do _cortex_event+=("$line"); done <<<"$answer"
  if [[ ${_cortex_event[0]} != ok ]]; then
    echo "ERROR: ${_cortex_event[1]:-Invalid JSON}" >&2
    return 1
  fi
  if [[ ${_cortex_event[2]} == dubious ]] && ! printf '%s' "$_cortex_text" | iconv -f UTF-8 -t UTF-8 >/dev/null 2>&1; then
    echo "ERROR: Invalid event: must be valid UTF-8" >&2
    return 1
  fi
}

# The event that a program handles, where a worker runs it.
_cortex_cause() {
  if [[ ${CORTEX_EVENT_ID:-} =~ ^evt_[0-9]{8}_[0-9]{6}_[a-z0-9]+$ ]]; then
    printf '%s' "$CORTEX_EVENT_ID"
  fi
}

validate_event() { # JSON
  local _cortex_text _cortex_event
  _cortex_check event "${1:-}" false || return 1
  echo "Event validation passed"
}

generate_event_id() {
  local TZ=UTC0 now random
  printf -v now '%(%Y%m%d_%H%M%S)T' -1
  if ! { IFS= read -r random </proc/sys/kernel/random/uuid; } 2>/dev/null; then
    printf -v random '%04x%04x%04x%08x%08x' "$RANDOM" "$RANDOM" "$RANDOM" "$BASHPID" "${SRANDOM:-$RANDOM$RANDOM}"
  fi
  random=${random//-/}
  echo "evt_${now}_${random:0:12}${random:20:8}"
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
  set -euo pipefail
  usage='Usage: event-validator.sh <event_json>
   or: event-validator.sh --generate-id'
  case ${1:-} in
    '')
      echo "$usage" >&2
      exit 1
      ;;
    --help | -h) echo "$usage" ;;
    --generate-id) generate_event_id ;;
    *) validate_event "$1" ;;
  esac
fi
