#!/usr/bin/env bash
# Emits events from the shell: into the database, or into the spool while that is away.
#
#   event-logger.sh --create TYPE SOURCE PAYLOAD [CORRELATION] [PRIORITY]   prints an event as JSON
#   event-logger.sh JSON          emits it and prints "Event logged: ID -> WHERE"
#   ... | event-logger.sh         the same from standard input
#   source event-logger.sh        for create_event, log_event, create_and_log_event, validate_event, generate_event_id
#
# Exit status 0: the event is durable, in the database or, as standard error then says, in the spool. 1: it is not, and
# "ERROR: ..." says why; what the database refuses is never spooled. README.md beside this file has the rest.
#
# Needs bash 4.2 or later, jq, psql 12 or later, and sync and stat of GNU coreutils. Sourced, it changes no option and no
# variable of the script.

if [[ ! -r ${BASH_SOURCE[0]%"${BASH_SOURCE[0]##*/}"}./event-validator.sh ]]; then
  echo "ERROR: event-validator.sh must be beside event-logger.sh: ${BASH_SOURCE[0]}" >&2
  # shellcheck disable=SC2317 # return fails where this is not sourced
  return 1 2>/dev/null || exit 1
fi
# shellcheck source=event-validator.sh
source "${BASH_SOURCE[0]%"${BASH_SOURCE[0]##*/}"}./event-validator.sh"

# What psql reads: this with the cause, and the event between the two halves, both as E'' literals, which need no setting
# of the server's. It is one transaction, in which a wait for another one that has the same id ends after three seconds.
# Behind it psql says what came of it, on lines that no warning and no word of the event can be taken for: the last one
# is the verdict.
_CORTEX_EMIT="
set local lock_timeout = '3s' \\;
set local statement_timeout = '5s' \\;
select cortex.emit(
  type => e ->> 'event_type', source => e ->> 'source', payload => nullif(e -> 'payload', 'null'),
  correlation_id => nullif(e ->> 'correlation_id', ''), priority => e -> 'metadata' ->> 'priority',
  metadata => nullif(nullif(e -> 'metadata', 'null') - 'priority', '{}'),
  key => e ->> 'key', dedupe_key => e ->> 'dedupe_key', run_at => (e ->> 'run_at')::timestamptz,
  occurred_at => (e ->> 'timestamp')::timestamptz, event_id => e ->> 'event_id', causation_id => "
_CORTEX_EMIT_OF=")
from (values ("
_CORTEX_EMIT_END="::jsonb)) as given(e);
\\echo event-logger: :LAST_ERROR_MESSAGE
\\echo :ERROR :SQLSTATE
"

# Of a connection whose other end has died without a word.
_CORTEX_KEEPALIVES='keepalives_idle=5 keepalives_interval=2 keepalives_count=3 tcp_user_timeout=10000'

# A text as an SQL literal, in _cortex_literal.
_cortex_quote() { # TEXT
  local LC_ALL=C backslash='\' quote="'"
  _cortex_literal=${1//"$backslash"/"$backslash$backslash"}
  _cortex_literal="E'${_cortex_literal//"$quote"/"$quote$quote"}'"
}

# Percent-decodes a part of a URL, in _cortex_part.
_cortex_decode() { # TEXT
  local LC_ALL=C backslash='\'
  _cortex_part=${1//"$backslash"/"$backslash$backslash"}
  printf -v _cortex_part '%b' "${_cortex_part//%/"$backslash"x}"
}

# Sets what libpq reads from DATABASE_URL or CORTEX_DATA_DIR, so that no password is in the arguments of a program.
# Returns 1 where no database is named. Run in a subshell.
_cortex_address() {
  local url=${DATABASE_URL:-} rest user hosts host parameter name
  if [[ -n $url ]]; then
    unset PGHOST PGHOSTADDR PGPORT PGDATABASE PGUSER PGPASSWORD PGSERVICE
    rest=${url#jdbc:}
    if [[ ! $rest =~ ^postgres(ql)?:// ]]; then
      echo "ERROR: DATABASE_URL must begin with postgresql://" >&2
      return 2
    fi
    rest=${rest#*://}
    local query=''
    [[ $rest != *\?* ]] || { query=${rest#*\?} && rest=${rest%%\?*}; }
    if [[ $rest == */* ]]; then
      _cortex_decode "${rest#*/}" && [[ -z $_cortex_part ]] || export PGDATABASE=$_cortex_part
      rest=${rest%%/*}
    fi
    if [[ $rest == *@* ]]; then
      user=${rest%@*}
      rest=${rest##*@}
      [[ $user != *:* ]] || { _cortex_decode "${user#*:}" && export PGPASSWORD=$_cortex_part; }
      _cortex_decode "${user%%:*}" && export PGUSER=$_cortex_part
    fi
    hosts='' PGPORT=''
    while [[ -n $rest ]]; do
      host=${rest%%,*}
      [[ $rest == *,* ]] && rest=${rest#*,} || rest=''
      parameter=5432
      [[ ! $host =~ ^(.*):([0-9]+)$ ]] || { host=${BASH_REMATCH[1]} && parameter=${BASH_REMATCH[2]}; }
      host=${host#[} host=${host%]}
      _cortex_decode "$host"
      hosts+=${hosts:+,}$_cortex_part PGPORT+=${PGPORT:+,}$parameter
    done
    [[ -z $hosts ]] || export PGHOST=$hosts PGPORT
    while [[ -n $query ]]; do
      parameter=${query%%&*}
      [[ $query == *\&* ]] && query=${query#*&} || query=''
      _cortex_decode "${parameter#*=}"
      case ${parameter%%=*} in
        user) name=PGUSER ;;
        password) name=PGPASSWORD ;;
        host) name=PGHOST ;;
        port) name=PGPORT ;;
        dbname) name=PGDATABASE ;;
        passfile) name=PGPASSFILE ;;
        sslmode) name=PGSSLMODE ;;
        sslrootcert) name=PGSSLROOTCERT ;;
        sslcert) name=PGSSLCERT ;;
        sslkey) name=PGSSLKEY ;;
        options) name=PGOPTIONS ;;
        connect_timeout) name=PGCONNECT_TIMEOUT ;;
        target_session_attrs) name=PGTARGETSESSIONATTRS ;;
        application_name | ApplicationName) name=PGAPPNAME ;;
        *)
          echo "ERROR: DATABASE_URL has a parameter that the event logger does not know: ${parameter%%=*}" >&2
          return 2
          ;;
      esac
      export "$name=$_cortex_part"
    done
  elif [[ -n ${CORTEX_DATA_DIR:-} && -z ${PGHOST:-} ]]; then
    [[ -r $CORTEX_DATA_DIR/port && -r $CORTEX_DATA_DIR/pgpass ]] || return 1
    read -r PGPORT <"$CORTEX_DATA_DIR/port"
    export PGHOST=127.0.0.1 PGPORT PGUSER=cortex PGDATABASE=cortex PGPASSFILE=$CORTEX_DATA_DIR/pgpass
  elif [[ -z ${PGHOST:-}${PGHOSTADDR:-}${PGDATABASE:-}${PGSERVICE:-} ]]; then
    return 1
  fi
}

# Puts the statement to the database. Prints what psql says. 0 done, 1 refused, 3 away.
_cortex_to_database() { # EVENT
  local _cortex_literal _cortex_part sql said verdict status=0 cause="e ->> 'causation_id'"
  command -v psql >/dev/null 2>&1 || {
    echo "psql is not installed"
    return 3
  }
  if [[ -n $(_cortex_cause) ]]; then
    _cortex_quote "$CORTEX_EVENT_ID"
    cause=$_cortex_literal
    _cortex_quote "${CORTEX_HANDLER:-}"
    cause+=", handler => $_cortex_literal, fence => "
    [[ ${CORTEX_FENCE:-} =~ ^[0-9]{1,18}$ ]] && cause+=$CORTEX_FENCE || cause+=0
  fi
  _cortex_quote "$1"
  sql=$_CORTEX_EMIT$cause$_CORTEX_EMIT_OF$_cortex_literal$_CORTEX_EMIT_END
  said=$(
    _cortex_address || exit $?
    export PGCLIENTENCODING=UTF8 PGAPPNAME=${PGAPPNAME:-event-logger} PGCONNECT_TIMEOUT=${PGCONNECT_TIMEOUT:-3}
    { printf '%s' "$sql" | psql -X -q -A -t -w -d "$_CORTEX_KEEPALIVES" 2>&1; } || exit "$((10 + $?))"
  ) || status=$?
  case $status in
    1)
      echo "no database is named (DATABASE_URL, CORTEX_DATA_DIR or PGHOST)"
      return 3
      ;;
    2)
      echo "the address is wrong"
      return 1
      ;;
  esac
  verdict=${said##*$'\n'}
  if [[ $status != 0 || ! $verdict =~ ^(true|false)\ [0-9A-Z]{5}$ ]]; then
    printf '%s' "${said%%$'\n'*}" # what follows may quote the event
    return 3
  fi
  if [[ $verdict == false* ]]; then
    said=${said%$'\n'event-logger: *}
    printf '%s' "${said##*$'\n'}"
    return 0
  fi
  said=${said##*$'\n'event-logger: }
  printf '%s' "${said%%$'\n'*}"
  case ${verdict#true } in
    # Away, out of something, or in contention: it may take the event later.
    08* | 53* | 58* | 57P0? | 57014 | 40* | 55P03 | 25006 | 25P0?) return 3 ;;
    *) return 1 ;;
  esac
}

# Appends an event to the spool and prints the file, once it is on the disk. One file for each event, and no other writer
# of it. A drain that has taken the file away meanwhile may have read it too early, so the event is then written again, to
# another file; that it may be there twice does no harm, since it has an id. The last failure to reach the database is
# remembered in "away", with the number of files.
_cortex_to_spool() ( # DIRECTORY EVENT SUM NUMBER
  set +ef
  umask 077
  LC_ALL=C TZ=UTC0
  dir=$1 files=0
  if [[ -L $dir || ! -O $dir ]]; then
    echo "ERROR: the spool must be a directory of this user's, and not a link: $dir" >&2
    exit 1
  fi
  [[ ! -f $dir/away ]] || IFS=' ' read -r _ files <"$dir/away"
  [[ $files =~ ^[0-9]{1,9}$ ]] || files=0 # what is not a number would be evaluated as one
  if ((10#$files >= ${CORTEX_SPOOL_MAX_FILES:-100000})); then
    echo "ERROR: the spool is full, it holds $files files: $dir" >&2
    exit 1
  fi
  now=${EPOCHREALTIME:-}
  if [[ -n $now ]]; then
    printf -v name '%(%Y%m%dT%H%M%S)T' "${now%[.,]*}"
    name+=${now#*[.,]}
  else
    printf -v name '%(%Y%m%dT%H%M%S)T%06d' -1 "$4"
  fi
  set -o noclobber # which creates a file, and neither opens one nor follows a link
  for ((tries = 0; tries < 10; tries++)); do
    file=$dir/$name-$BASHPID-$RANDOM$RANDOM.000001.jsonl
    status=0
    {
      printf '{"spool":1,"sum":%s,"event":%s}\n' "$3" "$2" >&8 && sync /dev/fd/8 "$dir" || status=1
      [[ $status != 0 || $file -ef /dev/fd/8 ]] || status=2
    } 8>"$file" || status=1
    case $status in
      0)
        printf '%s' "$file"
        exit 0
        ;;
      1)
        rm -f -- "$file" # on a full disk
        echo "ERROR: the spool cannot be written to: $dir" >&2
        exit 1
        ;;
    esac
  done
  echo "ERROR: each of $tries files was taken away while it was written: $dir" >&2
  exit 1
)

# Whether nobody else can read or write there, as Java demands of what it drains. Costs a process, so it is asked when
# the database was found to be away, and not again while that is remembered.
_cortex_is_private() { # DIRECTORY
  local mode
  mode=$(stat -c %a -- "$1") && [[ $mode =~ ^[0-7]*00$ ]]
}

# Whether the database was away a moment ago; else whoever asks goes to see.
_cortex_is_away() { # DIRECTORY
  local at=0 files now
  [[ -s $1/away && -f $1/away && -O $1/away && ! -L $1/away ]] || return 1
  IFS=' ' read -r at files <"$1/away" || return 1
  printf -v now '%(%s)T' -1
  [[ $at =~ ^[1-9][0-9]{0,17}$ ]] && ((now - at < ${CORTEX_SPOOL_RETRY_SECONDS:-5} && now >= at))
}

# Makes the spool where there is none.
_cortex_remember_away() ( # DIRECTORY
  set +f
  shopt -s nullglob
  umask 077
  [[ -d $1 ]] || mkdir -p -- "$1"
  [[ -d $1 && -O $1 && ! -L $1/away ]] || exit 0
  LC_ALL=C
  files=("$1"/*.jsonl*)
  printf '%(%s)T %d\n' -1 "${#files[@]}" >|"$1/away"
) 2>/dev/null

# Emits the event of _cortex_event, whose sum is known or 0.
_cortex_emit() {
  local id=${_cortex_event[1]} sum=${_cortex_event[3]} event=${_cortex_event[4]} said status=0 file
  if ! _cortex_is_away "$_cortex_spool"; then
    said=$(_cortex_to_database "$event") || status=$?
    case $status in
      0)
        [[ ! -s $_cortex_spool/away || -L $_cortex_spool/away ]] || : >|"$_cortex_spool/away"
        echo "Event logged: ${said:-$id} -> cortex.events"
        return 0
        ;;
      1)
        echo "ERROR: Event refused: $said" >&2
        return 1
        ;;
    esac
    if [[ -d $_cortex_spool && ! -L $_cortex_spool ]] && ! _cortex_is_private "$_cortex_spool"; then
      echo "ERROR: the spool must be open to its owner only (0700): $_cortex_spool" >&2
      echo "ERROR: Event not logged: $id, and the database is away ($said)" >&2
      return 1
    fi
    _cortex_remember_away "$_cortex_spool" || true # then every call goes to see
  else
    said="it was a moment ago"
  fi
  if [[ $sum == 0 ]]; then
    _cortex_check event "$event" true || return 1
    sum=${_cortex_event[3]}
  fi
  _cortex_count=$((${_cortex_count:-0} + 1))
  file=$(_cortex_to_spool "$_cortex_spool" "$event" "$sum" "$_cortex_count") || {
    echo "ERROR: Event not logged: $id, and the database is away ($said)" >&2
    return 1
  }
  echo "event-logger: the database is away ($said); spooled, to be delivered later" >&2
  echo "Event logged: $id -> $file"
}

# Where this user's spool is; Java looks there too.
_cortex_spool_directory() {
  local state=${XDG_STATE_HOME:-}
  [[ $state == /* ]] || state=${HOME:-/}/.local/state
  _cortex_spool=${CORTEX_SPOOL_DIR:-$state/cortex-events/spool}
}

# The sum costs time with large events, so it is only made where it will be needed, or costs nothing.
_cortex_needs_sum() { # TEXT
  if ((${#1} < 8192)) || _cortex_is_away "$_cortex_spool"; then
    echo true
  else
    echo false
  fi
}

_cortex_usage() {
  echo "Usage: event-logger.sh <event_json>"
  echo "   or: event-logger.sh --create <event_type> <source> <payload_json> [correlation_id] [priority]"
  echo "   or: echo '<event_json>' | event-logger.sh"
}

log_event() { # JSON
  local _cortex_text _cortex_event _cortex_spool
  _cortex_spool_directory
  if ! _cortex_check event "${1:-}" "$(_cortex_needs_sum "${1:-}")"; then
    echo "ERROR: Event validation failed" >&2
    return 1
  fi
  echo "Event validation passed"
  _cortex_emit
}

create_event() { # TYPE SOURCE PAYLOAD [CORRELATION] [PRIORITY]
  if (($# < 3)); then
    echo "Usage: create_event <event_type> <source> <payload_json> [correlation_id] [priority]" >&2
    return 1
  fi
  local _cortex_text time TZ=UTC0 event
  printf -v time '%(%Y-%m-%dT%H:%M:%S+0000)T' -1
  _cortex_one_line "$3"
  # The payload is checked but printed as it came: jq would round large numbers.
  event=$(printf '%s' "$_cortex_text" | jq -Rs --arg id "$(generate_event_id)" --arg type "$1" --arg time "$time" \
    --arg source "$2" --arg correlation "${4:-}" --arg priority "${5:-medium}" '
    (try (fromjson | true) catch ("payload is not valid JSON\n" | halt_error(2)))
    | {event_id: $id, event_type: $type, timestamp: $time, source: $source}
      + (if $correlation == "" then {} else {correlation_id: $correlation} end)
      + {metadata: {priority: $priority}, payload: null}') || return
  printf '%s\n' "${event%$'null\n}'}$_cortex_text"$'\n}'
}

create_and_log_event() { # TYPE SOURCE PAYLOAD [CORRELATION] [PRIORITY]
  if (($# < 3)); then
    echo "Usage: create_and_log_event <event_type> <source> <payload_json> [correlation_id] [priority]" >&2
    return 1
  fi
  local _cortex_text _cortex_event _cortex_spool time TZ=UTC0
  _cortex_spool_directory
  printf -v time '%(%Y-%m-%dT%H:%M:%S+0000)T' -1
  if ! _cortex_check payload "$3" "$(_cortex_needs_sum "$3")" --arg id "$(generate_event_id)" --arg type "$1" \
    --arg time "$time" --arg source "$2" --arg correlation "${4:-}" --arg priority "${5:-medium}"; then
    echo "ERROR: Event validation failed" >&2
    return 1
  fi
  _cortex_emit
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
  set -euo pipefail
  if [[ ${1:-} == --create ]]; then
    shift
    if (($# < 3)); then
      _cortex_usage >&2
      exit 1
    fi
    create_event "$@"
  elif [[ ${1:-} == --help || ${1:-} == -h ]]; then
    _cortex_usage
  elif (($# > 0)); then
    log_event "$1"
  elif [[ ! -t 0 ]]; then
    IFS= read -r -d '' event || true
    if [[ -z ${event//[$' \t\r\n']/} ]]; then
      echo "ERROR: Empty input from stdin" >&2
      exit 1
    fi
    log_event "$event"
  else
    _cortex_usage >&2
    exit 1
  fi
fi
