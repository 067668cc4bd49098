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
# Needs bash 4.2 or later, jq, psql 12 or later, and sync, stat and timeout of GNU coreutils. Sourced, it changes no option
# and no variable of the script.

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
  occurred_at => (e ->> 'timestamp')::timestamptz, event_id => e ->> 'event_id',
  extensions => nullif(e - '{event_id,event_type,timestamp,source,correlation_id,metadata,payload,key,dedupe_key,run_at,causation_id}'::text[], '{}'),
  causation_id => "
_CORTEX_EMIT_OF=")
from (values ("
_CORTEX_EMIT_END="::jsonb)) as given(e);
\\echo event-logger: :LAST_ERROR_MESSAGE
\\echo :ERROR :SQLSTATE
"

# How long the database may take in all, the wait for a synchronous standby included, in seconds; and how often it is
# asked when it is there but busy.
_CORTEX_PATIENCE=15
_CORTEX_TRIES=3

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

# Sets what libpq reads, by the first of DATABASE_URL, CORTEX_DATA_DIR and the PG* variables that is there, as the command
# line does; so no password is in the arguments of a program. Prints what is wrong, and returns 3 where there is no
# database to ask, 1 where the address is wrong. Run in a subshell.
_cortex_address() {
  local host directory=''
  if [[ -n ${DATABASE_URL:-} ]]; then
    unset PGHOSTADDR PGSERVICE
    _cortex_take_url || return 1
  elif [[ -n ${CORTEX_DATA_DIR:-} ]]; then
    directory=$CORTEX_DATA_DIR
    if [[ ! -r $directory/port || ! -r $directory/pgpass ]]; then
      echo "the embedded server of CORTEX_DATA_DIR does not run, or belongs to somebody else: $directory"
      return 3
    fi
  elif [[ -z ${PGHOST:-}${PGHOSTADDR:-}${PGDATABASE:-}${PGSERVICE:-} ]]; then
    echo "no database is named (DATABASE_URL, CORTEX_DATA_DIR or the PG* variables)"
    return 3
  fi
  if [[ -n $directory ]]; then
    unset PGHOSTADDR PGSERVICE PGPASSWORD PGSSLMODE PGTARGETSESSIONATTRS
    read -r PGPORT <"$directory/port"
    export PGHOST=127.0.0.1 PGPORT PGUSER=cortex PGDATABASE=cortex PGPASSFILE=$directory/pgpass
  fi
  host=${PGHOSTADDR:-${PGHOST:-}}
  [[ $host != *,* ]] || export PGTARGETSESSIONATTRS=${PGTARGETSESSIONATTRS:-read-write}
  if [[ -z ${PGSSLMODE:-} ]] && _cortex_is_remote "$host"; then
    export PGSSLMODE=verify-full
    if [[ -z ${PGSSLROOTCERT:-} && ! -e ${HOME:-}/.postgresql/root.crt ]]; then
      PGSSLROOTCERT=system # a word of psql 16
      for host in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
        [[ ! -r $host ]] || { PGSSLROOTCERT=$host && break; }
      done
      export PGSSLROOTCERT
    fi
  fi
}

# Whether one of the hosts is not this machine; a service may name any.
_cortex_is_remote() { # HOSTS
  local hosts=$1, host
  [[ -z ${PGSERVICE:-} || -n $1 ]] || return 0
  while [[ -n $hosts ]]; do
    host=${hosts%%,*}
    [[ $hosts == *,* ]] && hosts=${hosts#*,} || hosts=''
    case $host in
      '' | localhost | 127.* | ::1 | [/@]*) ;;
      *) return 0 ;;
    esac
  done
  return 1
}

# Takes DATABASE_URL apart; what it leaves out is for the PG* variables to say. No message repeats a part of it, which may
# be one of a password.
_cortex_take_url() {
  local rest=${DATABASE_URL#jdbc:} query='' user hosts='' ports='' host parameter name
  if [[ ! $rest =~ ^postgres(ql)?:// ]]; then
    echo "DATABASE_URL must begin with postgresql://"
    return 1
  fi
  rest=${rest#*://}
  [[ $rest != *\?* ]] || { query=${rest#*\?} && rest=${rest%%\?*}; }
  if [[ $rest == */*@* || ($rest != */* && $query == *@*) ]]; then
    echo "DATABASE_URL must have its @ before the first / and ?; in a user or password write / as %2F and ? as %3F"
    return 1
  fi
  if [[ $rest == */* ]]; then
    _cortex_decode "${rest#*/}" && [[ -z $_cortex_part ]] || export PGDATABASE=$_cortex_part
    rest=${rest%%/*}
  fi
  if [[ $rest == *@* ]]; then
    user=${rest%@*}
    rest=${rest##*@}
    [[ $user != *:* ]] || { _cortex_decode "${user#*:}" && export PGPASSWORD=$_cortex_part; }
    _cortex_decode "${user%%:*}" && [[ -z $_cortex_part ]] || export PGUSER=$_cortex_part
  fi
  while [[ -n $rest ]]; do
    host=${rest%%,*}
    [[ $rest == *,* ]] && rest=${rest#*,} || rest=''
    parameter=${PGPORT:-5432}
    [[ ! $host =~ ^(.*):([0-9]+)$ ]] || { host=${BASH_REMATCH[1]} && parameter=${BASH_REMATCH[2]}; }
    host=${host#[} host=${host%]}
    _cortex_decode "$host"
    hosts+=${hosts:+,}$_cortex_part ports+=${ports:+,}$parameter
  done
  [[ -z $hosts ]] || export PGHOST=$hosts PGPORT=$ports
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
      channel_binding) name=PGCHANNELBINDING ;;
      options) name=PGOPTIONS ;;
      connect_timeout) name=PGCONNECT_TIMEOUT ;;
      target_session_attrs) name=PGTARGETSESSIONATTRS ;;
      application_name | ApplicationName) name=PGAPPNAME ;;
      *)
        echo "DATABASE_URL must hold only parameters of libpq"
        return 1
        ;;
    esac
    export "$name=$_cortex_part"
  done
  export PGHOST=${PGHOST:-localhost}
}

# Which psql, in _cortex_psql. Debian's is a script that looks for a local cluster, which nobody asks for where a host is
# named, and takes as long for that as psql for all the rest. Run in a subshell.
_cortex_find_psql() {
  local file version newest=0
  _cortex_psql=psql
  [[ -z ${PGCLUSTER:-} && -n ${PGHOST:-}${PGHOSTADDR:-} ]] || return 0
  hash psql && [[ ${BASH_CMDS[psql]} -ef /usr/share/postgresql-common/pg_wrapper ]] || return 0
  set +f
  for file in /usr/lib/postgresql/*/bin/psql; do
    version=${file#/usr/lib/postgresql/} version=${version%%/*}
    if [[ -x $file && $version =~ ^[0-9]+$ ]] && ((version > newest)); then
      newest=$version _cortex_psql=$file
    fi
  done
}

# Puts the statement to the database, within some seconds. What psql says is in _cortex_said. 0 done, 1 refused, 3 away,
# 4 busy.
_cortex_ask() { # STATEMENT SECONDS
  local verdict status=0
  _cortex_said=$(
    _cortex_address || exit $((64 + $?))
    export PGCLIENTENCODING=UTF8 PGAPPNAME=${PGAPPNAME:-event-logger} PGCONNECT_TIMEOUT=${PGCONNECT_TIMEOUT:-3}
    _cortex_find_psql
    _cortex_feed "$1" timeout --foreground -k 1 "$2" "$_cortex_psql" -X -q -A -t -w -d "$_CORTEX_KEEPALIVES" 2>&1
  ) || status=$?
  verdict=${_cortex_said##*$'\n'}
  case $status in
    0) ;;
    65 | 67) return $((status - 64)) ;;
    124 | 137)
      _cortex_said="it did not answer within $_CORTEX_PATIENCE s"
      return 3
      ;;
  esac
  if [[ $status != 0 || ! $verdict =~ ^(true|false)\ [0-9A-Z]{5}$ ]]; then
    _cortex_said=${_cortex_said%%$'\n'*} # what follows may quote the event
    return 3
  fi
  if [[ $verdict == false* ]]; then
    _cortex_said=${_cortex_said%$'\n'event-logger: *}
    _cortex_said=${_cortex_said##*$'\n'}
    return 0
  fi
  _cortex_said=${_cortex_said##*$'\n'event-logger: }
  _cortex_said=${_cortex_said%%$'\n'*}
  case ${verdict#true } in
    # In contention, or out of the time that the server gives.
    40001 | 40P01 | 55P03 | 57014 | 25P0?) return 4 ;;
    # Away, or out of something: it may take the event later.
    08* | 40003 | 53* | 58* | 57P0? | 25006) return 3 ;;
    *) return 1 ;;
  esac
}

# Offers the event to the database, again where that is busy, as _cortex_ask does it once.
_cortex_offer() { # EVENT
  local _cortex_literal _cortex_part sql cause="e ->> 'causation_id'" begun now tries=0 status
  if ! command -v psql >/dev/null 2>&1; then
    _cortex_said="psql is not installed"
    return 3
  fi
  if _cortex_has_cause; then
    _cortex_quote "$CORTEX_EVENT_ID"
    cause=$_cortex_literal
    _cortex_quote "${CORTEX_HANDLER:-}"
    cause+=", handler => $_cortex_literal, fence => "
    [[ ${CORTEX_FENCE:-} =~ ^[0-9]{1,18}$ ]] && cause+=$CORTEX_FENCE || cause+=0
  fi
  _cortex_quote "$1"
  sql=$_CORTEX_EMIT$cause$_CORTEX_EMIT_OF$_cortex_literal$_CORTEX_EMIT_END
  printf -v begun '%(%s)T' -1
  now=$begun
  while :; do
    status=0
    _cortex_ask "$sql" "$((_CORTEX_PATIENCE - now + begun))" || status=$?
    printf -v now '%(%s)T' -1
    if ((status != 4 || ++tries == _CORTEX_TRIES || now < begun || now - begun >= _CORTEX_PATIENCE)); then
      return "$status"
    fi
  done
}

# Appends an event to the spool and prints the file, once it is on the disk. One file for each event, and no other writer
# of it. A drain that has taken the file away meanwhile may have read it too early, so the event is then written again, to
# another file; that it may be there twice does no harm, since it has an id. The last failure to reach the database is
# remembered in "away", with the number of files.
_cortex_to_spool() { # DIRECTORY EVENT SUM NUMBER
  local LC_ALL=C TZ=UTC0 dir=$1 files=0 now name tries file status
  set +ef
  umask 077
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
}

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

# Makes the spool where there is none, and notes how many files it holds, and since when the database is away: 0 where it
# is only busy, which the next call is not to be told.
_cortex_prepare_spool() ( # DIRECTORY WHEN
  set +f
  shopt -s nullglob
  umask 077
  if [[ ! -d $1 ]]; then
    above=${1%/*} made=("$1")
    while [[ -n $above && ! -d $above ]]; do
      made+=("$above")
      [[ $above == */* ]] && above=${above%/*} || above=.
    done
    mkdir -p -- "$1" && sync -- "${made[@]}" "${above:-/}"
  fi
  [[ -d $1 && -O $1 && ! -L $1/away ]] || exit 0
  LC_ALL=C
  files=("$1"/*.jsonl*)
  printf '%s %d\n' "$2" "${#files[@]}" >|"$1/away"
) 2>/dev/null

# Emits the event of _cortex_event, whose sum is known or 0.
_cortex_emit() {
  local id=${_cortex_event[1]} event=${_cortex_event[5]} _cortex_said state=away status=0 file now
  if ! _cortex_is_away "$_cortex_spool"; then
    _cortex_offer "$event" || status=$?
    case $status in
      0)
        [[ ! -s $_cortex_spool/away || -L $_cortex_spool/away ]] || : >|"$_cortex_spool/away"
        echo "Event logged: ${_cortex_said:-$id} -> cortex.events"
        return 0
        ;;
      1)
        echo "ERROR: Event refused: $_cortex_said" >&2
        return 1
        ;;
    esac
    if [[ -d $_cortex_spool && ! -L $_cortex_spool ]] && ! _cortex_is_private "$_cortex_spool"; then
      echo "ERROR: the spool must be open to its owner only (0700): $_cortex_spool" >&2
      echo "ERROR: Event not logged: $id, and the database is away ($_cortex_said)" >&2
      return 1
    fi
    printf -v now '%(%s)T' -1
    [[ $status == 3 ]] || state=busy now=0
    _cortex_prepare_spool "$_cortex_spool" "$now" || true # then every call goes to see
  else
    _cortex_said="it was a moment ago"
  fi
  case ${_cortex_event[4]} in
    plain) _cortex_sum_plain ;;
    unknown) _cortex_check event "$event" true || return 1 ;;
  esac
  if [[ ${_cortex_event[4]} != none ]]; then
    echo "ERROR: Invalid ${_cortex_event[4]}: may have at most ${CORTEX_SPOOL_MAX_PAYLOAD_BYTES:-262144} bytes of JSON" \
      "while the database is $state" >&2
    return 1
  fi
  _cortex_count=$((${_cortex_count:-0} + 1))
  file=$(_cortex_to_spool "$_cortex_spool" "$event" "${_cortex_event[3]}" "$_cortex_count") || {
    echo "ERROR: Event not logged: $id, and the database is $state ($_cortex_said)" >&2
    return 1
  }
  echo "event-logger: the database is $state ($_cortex_said); spooled, to be delivered later" >&2
  echo "Event logged: $id -> $file"
}

# Where this user's spool is; Java looks there too.
_cortex_spool_directory() {
  local state=${XDG_STATE_HOME:-}
  [[ $state == /* ]] || state=${HOME:-/}/.local/state
  _cortex_spool=${CORTEX_SPOOL_DIR:-$state/cortex-events/spool}
}

# The sum and the size cost time with large events, so they are only made where they will be needed, or cost nothing.
_cortex_is_summed() { # TEXT
  if ((${#1} < 8192)) || _cortex_is_away "$_cortex_spool"; then
    _cortex_sum=true
  else
    _cortex_sum=false
  fi
}

_cortex_usage() {
  echo "Usage: event-logger.sh <event_json>"
  echo "   or: event-logger.sh --create <event_type> <source> <payload_json> [correlation_id] [priority]"
  echo "   or: echo '<event_json>' | event-logger.sh"
}

log_event() { # JSON
  local _cortex_text _cortex_event _cortex_spool _cortex_sum
  _cortex_spool_directory
  if ! _cortex_check_created "${1:-}"; then
    _cortex_is_summed "${1:-}"
    if ! _cortex_check event "${1:-}" "$_cortex_sum"; then
      echo "ERROR: Event validation failed" >&2
      return 1
    fi
  fi
  echo "Event validation passed"
  _cortex_emit
}

create_event() { # TYPE SOURCE PAYLOAD [CORRELATION] [PRIORITY]
  if (($# < 3)); then
    echo "Usage: create_event <event_type> <source> <payload_json> [correlation_id] [priority]" >&2
    return 1
  fi
  local _cortex_text _cortex_id time TZ=UTC0 event
  printf -v time '%(%Y-%m-%dT%H:%M:%S+0000)T' -1
  _cortex_make_id
  _cortex_trim "$3"
  _cortex_one_line "$_cortex_text"
  # The payload is checked but printed as it came: jq would round large numbers.
  event=$(printf '%s' "$_cortex_text" | jq -Rs --arg id "$_cortex_id" --arg type "$1" --arg time "$time" \
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
  local _cortex_text _cortex_event _cortex_spool _cortex_sum _cortex_id time TZ=UTC0
  _cortex_spool_directory
  _cortex_make_id
  printf -v time '%(%Y-%m-%dT%H:%M:%S+0000)T' -1
  if ! _cortex_check_plain "$_cortex_id" "$time" "$1" "$2" "$3" "${4:-}" "${5:-medium}"; then
    _cortex_is_summed "$3"
    if ! _cortex_check payload "$3" "$_cortex_sum" --arg id "$_cortex_id" --arg type "$1" --arg time "$time" \
      --arg source "$2" --arg correlation "${4:-}" --arg priority "${5:-medium}"; then
      echo "ERROR: Event validation failed" >&2
      return 1
    fi
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
    if IFS= read -r -d '' event; then
      echo "ERROR: Invalid event: may not hold the character NUL" >&2
      exit 1
    fi
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
