#!/usr/bin/env bash
# Checks events by the rules that need no look at the database, and makes event ids.
#
#   event-validator.sh JSON            prints "Event validation passed", or "ERROR: ..." and exits with 1
#   event-validator.sh --generate-id   prints a new event id
#   source event-validator.sh          for validate_event and generate_event_id
#
# Needs bash 4.2 or later and jq 1.5 or later. Sourced, it changes no option and no variable of the script.

# What both checks below begin with: the rules of the fields.
_CORTEX_FIELDS='
def text($name): .[$name] | type == "string" and length >= 1 and length <= 200;
def moment($name):
  .[$name]
  | type == "string"
    and test("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,30})?(Z|[+-]((0[0-9]|1[0-7])(:?[0-5][0-9])?|18(:?00)?))$")
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
    end;
'

# Both read an event as raw text and a line break from standard input, or with $part a payload, around which they build
# the event. They print "bad" and what is wrong, or "ok", the id, "dubious" where a character may stand for bytes that are
# no UTF-8, the sum of a spool's line (see SpoolLine.java; 0 unless $sum), the field that is too large for the spool, and
# the event, with every number as it was written.
#
# jq lets pass what PostgreSQL does not, and keeps the last of a repeated name; so the text itself is looked at as well,
# piece by piece between its quotes, of which every second one is in a string. jq takes longer to read a program than to
# run it; so the first check knows only what a plain event looks like, and says "look" where the second one has to.
_CORTEX_PLAIN='
def is_plain($event):
  test("\\\\u|[\\x00-\\x1f]") == false
  and ((if contains("\\") then split("\\\\") | join("") | split("\\\"") | join("") else . end | split("\"")) as $pieces
    | [range(0; $pieces | length; 2) | $pieces[.]]
    | tojson
    | (split("[") | length) + (split("{") | length) < 100
      and (split(":") | length - 1) == ($event | [.. | objects | length] | add // 0)
      and (test("(?<![^][{}:,\" ])(?!(true|false|null|-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][-+]?[0-9])?)([][{}:,\" ]|$))[^][{}:,\" ]|[0-9.]{900}") | not));
'"$_CORTEX_FIELDS"'
rtrimstr("\n")
| (if $part == "payload" then
   if (try (fromjson | true) catch false) then
     "{\"event_id\":\($id | tojson),\"event_type\":\($type | tojson),\"timestamp\":\($time | tojson),\"source\":\($source | tojson),"
     + (if $correlation == "" then "" else "\"correlation_id\":\($correlation | tojson)," end)
     + "\"metadata\":{\"priority\":\($priority | tojson)},\"payload\":\(.)}"
   else "" end
 else . end)
| . as $given
| if utf8bytelength * 2 > $max_bytes then "look"
  else
    (try [fromjson] catch []) as $parsed
    | if $parsed == [] or (is_plain($parsed[0]) | not) then "look"
      else
        ($parsed[0] | defect) as $defect
        | if $defect != null then "bad", ($defect | gsub("[\\x00-\\x1f\\x7f]"; " "))
          else
            (if $cause != "" and ($parsed[0] | has("causation_id") | not)
             then "{\"causation_id\":\($cause | tojson)," + $given[1:] else $given end)
            | "ok",
              $parsed[0].event_id,
              (if contains("\ufffd") then "dubious" else "clear" end),
              (if $sum then reduce explode[] as $c (0; (. * 257 + (if $c == 10 or $c == 13 then 32 else $c end) + 1) % 17592186044399)
               else 0 end),
              (if $sum then "none" else "unknown" end),
              .
          end
      end
  end'

_CORTEX_CHECK=$_CORTEX_FIELDS'
def fields: ["event_id", "event_type", "timestamp", "source", "correlation_id", "metadata", "payload", "key", "dedupe_key", "run_at", "causation_id"];
def times($what): split($what) | length - 1;
def without_escapes: if contains("\\") then split("\\\\") | join("__") | split("\\\"") | join("__") else . end;
def every_second($from): . as $pieces | [range($from; $pieces | length; 2) | $pieces[.]];

# Of pieces: to which field each belongs.
def owners:
  . as $pieces
  | [foreach range(0; $pieces | length) as $i ({depth: 0, field: "event"};
      if $i % 2 == 0 then
        .depth += ($pieces[$i] | times("{") + times("[") - times("}") - times("]"))
      elif .depth == 1 and ($pieces[$i + 1] // "" | test("^[ \t\r\n]*:")) then
        .field = $pieces[$i]
      else . end;
      .field)]
  | map(if [.] - fields == [] then . else "event" end);
# Of pieces: the field of the first one from $from on, of every second, that is wanted.
def owner($from; wanted):
  . as $pieces | first((range($from; $pieces | length; 2) | select($pieces[.] | wanted)), 0) as $at | ($pieces | owners)[$at];

def digits: # of a number, written out in full
  if length > 10000 then length
  else
    capture("^-?(?<whole>[0-9]+)([.](?<part>[0-9]+))?([eE](?<power>[-+]?[0-9]+))?$")
    | (.part // "") as $part
    | ((.power // "0") | ltrimstr("+") | tonumber) as $power
    | (($part | length) - $power) as $scale
    | ((.whole + $part) | sub("^0+"; "") | length) as $precision
    | if $power > 2147483647 or $power < -2147483647 then 99999
      else ([1, (if $precision == 0 then 1 else $precision - $scale end)] | max) + ([0, $scale] | max) end
  end;
def may_be_long: test("[0-9.]{900}|[eE][-+]?0*[1-9][0-9]{2}");
def is_long: may_be_long and ([scan("-?[0-9][-+.0-9eE]*") | digits | select(. > 1000)] != []);

def is_json: # of what is outside of the strings, which jq takes for JSON
  test("(?<![^][{}:,\" \t\r\n])(?!(true|false|null|-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][-+]?[0-9]+)?)([][{}:,\" \t\r\n]|$))[^][{}:,\" \t\r\n]") | not;
def nested($text): # a text, on top of what was nested before it
  reduce ($text | explode[]) as $c (.;
    if $c == 91 or $c == 123 then .depth += 1 | .most = ([.most, .depth] | max)
    elif $c == 93 or $c == 125 then .depth -= 1 else . end);
def is_deep: times("[") + times("{") > 101 and (. as $text | {depth: 0, most: 0} | nested($text).most > 102);
def deep: # of pieces: the first one that is nested too deep
  . as $pieces
  | first(foreach range(0; length; 2) as $i ({depth: 0, most: 0}; nested($pieces[$i]); select(.most > 101) | $i), 0);
def keys_of: [.. | objects | length] | add // 0;
def repeated($event): # of pieces: the field in which a name is repeated
  . as $pieces
  | owners as $owners
  | reduce range(0; $pieces | length; 2) as $i ({}; .[$owners[$i]] += ($pieces[$i] | times(":")))
  | . as $colons
  | first((fields[] | select(. as $name | $event | has($name)) | select($colons[.] != 1 + ($event[.] | keys_of))), "event");

def half_a_pair: test("\\\\u[dD][89abAB]..(?!\\\\u[dD][c-fC-F])|(?<!\\\\u[dD][89abAB]..)\\\\u[dD][c-fC-F]");
def nul: test("\\\\u0000");
def in_strings(wanted): any(.[range(1; length; 2)]; wanted);
def unstorable: # of pieces
  if in_strings(contains("\\u")) | not then null
  elif in_strings(nul) then "Invalid \(owner(1; nul)): may not hold the character \\u0000, which PostgreSQL cannot store"
  elif in_strings(half_a_pair)
  then "Invalid \(owner(1; half_a_pair)): may not hold half of a surrogate pair, which UTF-8 cannot encode"
  else null end;
def beyond_jsonb($event; $outside): # of pieces
  (if ($outside | may_be_long) and any(.[range(0; length; 2)]; is_long)
   then "Invalid \(owner(0; is_long)): may hold numbers of at most 1000 digits, holds a longer one" else null end)
  // (if ($outside | times(":")) != ($event | keys_of)
      then "Invalid \(repeated($event)): may hold a name only once in an object" else null end);

# How many bytes jsonb spells an object with: a blank behind each comma and colon, and numbers written out in full.
def spelled:
  (tojson | utf8bytelength)
  + ([.. | objects, arrays | select(length > 0) | length - 1 + (if type == "object" then length else 0 end)] | add // 0);
def too_large($outside):
  . as $event
  | ([$outside | select(test("[eE][-+]?[0-9]{2}")) | scan("-?[0-9][-+.0-9]*[eE][-+.0-9]*")
      | digits - (tonumber | tojson | length)] | add // 0) as $longer
  | first((["payload", .payload], ["metadata", (.metadata | objects | del(.priority))],
           ["extensions", with_entries(select([.key] - fields != []))]
           | select(.[1] != null and (.[1] | spelled) + $longer > $max_bytes) | .[0]), "none");

rtrimstr("\n")
| (if $part == "payload" then
   if (try (fromjson | true) catch false) or (without_escapes | split("\"") | every_second(0) | tojson | is_deep) then
     "{\"event_id\":\($id | tojson),\"event_type\":\($type | tojson),\"timestamp\":\($time | tojson),\"source\":\($source | tojson),"
     + (if $correlation == "" then "" else "\"correlation_id\":\($correlation | tojson)," end)
     + "\"metadata\":{\"priority\":\($priority | tojson)},\"payload\":\(.)}"
   else "" end
 else . end)
| . as $given
| (without_escapes | split("\"")) as $pieces
| ($pieces | every_second(0) | tojson | split("\\n") | join(" ") | split("\\r") | join(" ") | split("\\t") | join(" ")) as $outside
| (try [fromjson] catch []) as $parsed
| (if $part == "payload" then "Invalid payload: must be JSON" else "Invalid JSON" end) as $malformed
| (if $outside | is_deep then "Invalid \($pieces | owners[deep]): may be nested at most 100 deep, is nested deeper"
   else null end
   // ($pieces | unstorable)
   // (if $parsed == [] or ($outside | is_json | not)
          or ($given | test("[\\x00-\\x1f]")) and ($pieces | in_strings(test("[\\x00-\\x1f]")))
       then $malformed else null end)
   // ($parsed[0] | defect)
   // ($pieces | beyond_jsonb($parsed[0]; $outside))) as $defect
| if $defect != null then "bad", ($defect | gsub("[\\x00-\\x1f\\x7f]"; " "))
  else
    (if $cause != "" and ($parsed[0] | has("causation_id") | not)
     then "{\"causation_id\":\($cause | tojson)," + $given[1:] else $given end)
    | "ok",
      $parsed[0].event_id,
      (if contains("\ufffd") then "dubious" else "clear" end),
      (if $sum then reduce explode[] as $c (0; (. * 257 + (if $c == 10 or $c == 13 then 32 else $c end) + 1) % 17592186044399)
       else 0 end),
      (if $sum then $parsed[0] | too_large($outside) else "unknown" end),
      .
  end'

# The text without blanks around it, and on one line, in _cortex_text. A line break in JSON is a blank.
_cortex_trim() { # TEXT
  local LC_ALL=C
  _cortex_text=${1#"${1%%[! $'\t\r\n']*}"}
  _cortex_text=${_cortex_text%"${_cortex_text##*[! $'\t\r\n']}"}
}
_cortex_one_line() { # TEXT
  local LC_ALL=C
  _cortex_text=${1//[$'\r\n']/ }
}

# Replaces this process, which is a subshell, by the command. What is short fits into a pipe, to which bash writes it
# without another process.
_cortex_feed() { # TEXT COMMAND...
  local LC_ALL=C text=$1
  shift
  if ((${#text} < 4096 && BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 501)); then
    unset LC_ALL
    exec "$@" <<<"$text"
  fi
  unset LC_ALL
  printf '%s\n' "$text" | "$@"
}

# Checks an event, or with "payload" in front what create_event is given. On success 0, and its id, sum, the field that is
# too large for the spool and the text are in the array _cortex_event. JQ-OPTIONS come on top.
_cortex_check() { # event|payload TEXT SUM(true|false) JQ-OPTIONS...
  local part=$1 sum=$3 check answer cause='' IFS=$' \t\n'
  ! _cortex_has_cause || cause=$CORTEX_EVENT_ID
  _cortex_trim "$2"
  shift 3
  if ! command -v jq >/dev/null 2>&1; then
    echo "ERROR: jq is required for event validation" >&2
    return 1
  fi
  for check in "$_CORTEX_PLAIN" "$_CORTEX_CHECK"; do
    # Of two arguments of one name, jq takes the first.
    answer=$(_cortex_feed "$_cortex_text" jq -Rrs --arg part "$part" --argjson sum "$sum" \
      --argjson max_bytes "${CORTEX_SPOOL_MAX_PAYLOAD_BYTES:-262144}" \
      --arg cause "$cause" "$@" --arg id '' --arg type '' --arg time '' --arg source '' --arg correlation '' \
      --arg priority '' "$check") || {
      echo "ERROR: Invalid JSON" >&2
      return 1
    }
    [[ $answer == look ]] || break
  done
  _cortex_event=()
  for part in 1 2 3 4 5; do
    _cortex_event+=("${answer%%$'\n'*}")
    answer=${answer#*$'\n'}
  done
  if [[ ${_cortex_event[0]} != ok ]]; then
    echo "ERROR: ${_cortex_event[1]:-Invalid JSON}" >&2
    return 1
  fi
  _cortex_one_line "$answer"
  _cortex_event+=("$_cortex_text")
  if [[ ${_cortex_event[2]} == dubious ]] && ! printf '%s' "$_cortex_text" | iconv -f UTF-8 -t UTF-8 >/dev/null 2>&1; then
    echo "ERROR: Invalid event: must be valid UTF-8" >&2
    return 1
  fi
}

# What is in a payload that bash can check by itself: ASCII without a backslash, and nothing nested.
_CORTEX_STRING='"[^"]*"'
_CORTEX_NUMBER='-?(0|[1-9][0-9]{0,99})([.][0-9]{1,99})?'
_CORTEX_MEMBER="($_CORTEX_STRING) *: *($_CORTEX_STRING|$_CORTEX_NUMBER|true|false|null) *"
_CORTEX_FLAT="^[{] *($_CORTEX_MEMBER(, *$_CORTEX_MEMBER)*)?[}]\$"

# Does what _cortex_check does with a payload, without the time that jq takes to start, where all is as it should be and
# plain. Returns 1 where jq has to look. The sum is left out, and "plain" says so.
_cortex_check_plain() { # ID TIME TYPE SOURCE PAYLOAD CORRELATION PRIORITY
  local LC_ALL=C IFS=$' \t\n' field rest names='|' event=''
  ! shopt -q nocasematch || return 1
  _cortex_trim "$5"
  _cortex_one_line "$_cortex_text"
  ((${#_cortex_text} < 2048 && ${#_cortex_text} * 2 < ${CORTEX_SPOOL_MAX_PAYLOAD_BYTES:-262144})) || return 1
  for field in "$4" "$_cortex_text" "$6"; do
    [[ $field != *[!\ -~]* && $field != *\\* ]] || return 1
  done
  [[ $3 =~ ^[a-z][a-z0-9_]*([.][a-z0-9_]+)+$ && $7 =~ ^(critical|high|medium|low)$ ]] || return 1
  ((${#3} <= 200 && ${#4} >= 1 && ${#4} <= 200 && ${#6} <= 200)) || return 1
  [[ $4$6 != *\"* && $5 != *[$'\r\n']* && $_cortex_text =~ $_CORTEX_FLAT ]] || return 1
  rest=${_cortex_text#?}
  while [[ $rest =~ ^,?\ *$_CORTEX_MEMBER ]]; do
    [[ $names != *"|${BASH_REMATCH[1]}|"* ]] || return 1
    names+=${BASH_REMATCH[1]}'|'
    rest=${rest:${#BASH_REMATCH}}
  done
  ! _cortex_has_cause || event="\"causation_id\":\"$CORTEX_EVENT_ID\","
  event+="\"event_id\":\"$1\",\"event_type\":\"$3\",\"timestamp\":\"$2\",\"source\":\"$4\","
  [[ -z $6 ]] || event+="\"correlation_id\":\"$6\","
  event+="\"metadata\":{\"priority\":\"$7\"},\"payload\":$_cortex_text"
  _cortex_event=(ok "$1" clear 0 plain "{$event}")
}

# An event as create_event prints it: its id, type, time (not each that is one), source, correlation id, priority, payload.
_CORTEX_GAP=$'[ \n]*'
_CORTEX_DAY='(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31'
_CORTEX_TIME="[12][0-9]{3}-($_CORTEX_DAY)T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([+]0000|Z)"
_CORTEX_CREATED="^[{]$_CORTEX_GAP\"event_id\":$_CORTEX_GAP\"(evt_[0-9]{8}_[0-9]{6}_[a-z0-9]{1,80})\",\
$_CORTEX_GAP\"event_type\":$_CORTEX_GAP\"([^\"]*)\",$_CORTEX_GAP\"timestamp\":$_CORTEX_GAP\"($_CORTEX_TIME)\",\
$_CORTEX_GAP\"source\":$_CORTEX_GAP\"([^\"]*)\",($_CORTEX_GAP\"correlation_id\":$_CORTEX_GAP\"([^\"]*)\",)?\
$_CORTEX_GAP\"metadata\":$_CORTEX_GAP[{]$_CORTEX_GAP\"priority\":$_CORTEX_GAP\"([a-z]*)\"$_CORTEX_GAP[}],\
$_CORTEX_GAP\"payload\":$_CORTEX_GAP([{].*[}])$_CORTEX_GAP[}]\$"

# The same for such an event.
_cortex_check_created() { # EVENT
  local LC_ALL=C
  ! shopt -q nocasematch || return 1
  ((${#1} < 4096)) || return 1
  _cortex_trim "$1"
  [[ $_cortex_text =~ $_CORTEX_CREATED ]] || return 1
  _cortex_check_plain "${BASH_REMATCH[1]}" "${BASH_REMATCH[3]}" "${BASH_REMATCH[2]}" "${BASH_REMATCH[12]}" \
    "${BASH_REMATCH[16]}" "${BASH_REMATCH[14]}" "${BASH_REMATCH[15]}"
}

# The sum of a plain event, in _cortex_event.
_cortex_sum_plain() {
  local LC_ALL=C event=${_cortex_event[5]} character
  local -i sum=0 i
  for ((i = 0; i < ${#event}; i++)); do
    printf -v character '%d' "'${event:i:1}"
    sum=$(((sum * 257 + character + 1) % 17592186044399))
  done
  _cortex_event[3]=$sum
  _cortex_event[4]=none
}

# Whether a worker runs this, for an event.
_cortex_has_cause() {
  [[ ${CORTEX_EVENT_ID:-} =~ ^evt_[0-9]{8}_[0-9]{6}_[a-z0-9]+$ ]]
}

validate_event() { # JSON
  local _cortex_text _cortex_event
  _cortex_check event "${1:-}" false || return 1
  echo "Event validation passed"
}

generate_event_id() {
  local _cortex_id
  _cortex_make_id
  echo "$_cortex_id"
}

_cortex_make_id() {
  local TZ=UTC0 now random
  printf -v now '%(%Y%m%d_%H%M%S)T' -1
  if ! { IFS= read -r random </proc/sys/kernel/random/uuid; } 2>/dev/null; then
    printf -v random '%04x%04x%04x%08x%08x' "$RANDOM" "$RANDOM" "$RANDOM" "$BASHPID" "${SRANDOM:-$RANDOM$RANDOM}"
  fi
  random=${random//-/}
  _cortex_id=evt_${now}_${random:0:12}${random:20:8}
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
