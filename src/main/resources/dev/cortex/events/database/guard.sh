#!/bin/sh
# Keeps one PostgreSQL server for as long as somebody uses it.
#
#   guard.sh HOME COMMAND...
#
# Every process that uses the server holds HOME/users, a FIFO, open for writing. The kernel closes it
# whatever the process dies of, so the end of the file means that the last user is gone: the guard
# then stops the server (SIGINT, a fast shutdown) and ends. A server that dies by itself is started
# again, after a pause that doubles up to 10 s.
#
# Runs in a session of its own, so that a Ctrl-C meant for a user does not reach the server.
#
# Files in HOME that it writes:
#   guard.pid   its process id; gone when it has ended in order
#   joined      the last token read from users, or the word "stopping"
#   deaths      how often in a row the server has died; counted anew after a life of a minute
home=$1
shift
umask 077
cd / || exit 1

say() { # NAME VALUE: a file that is never seen half written
  printf '%s\n' "$2" >"$home/$1.new" && mv -f "$home/$1.new" "$home/$1"
}

runs() { # PID TEXT: whether the process lives and has the text in its command line
  case "$( (tr '\0' ' ' <"/proc/$1/cmdline" || ps -o command= -p "$1") 2>/dev/null)" in
    *"$2"*) return 0 ;;
    *) return 1 ;;
  esac
}

# Opening a FIFO to read waits for a writer, who may be dead by now. So be one for a moment.
exec 4<>"$home/users" 3<"$home/users" 4>&-
say guard.pid $$

# The watcher. A new user writes a token and waits to read it in `joined`: only then is it sure that
# the end of the file had not been reached before it came. If somebody killed the guard meanwhile, the
# watcher stops the server itself. A process id alone is not trusted: it may be another's by now.
(
  while read -r token <&3; do
    say joined "$token"
  done
  say joined stopping
  if runs $$ "$home"; then
    kill -TERM $$
  else
    orphan=$(head -n 1 "$home/data/postmaster.pid" 2>/dev/null)
    runs "$orphan" "-D $home/data" && kill -INT "$orphan"
  fi
) &
exec 3<&-

stopping=
server=
pause=
trap 'stopping=yes; kill -INT $server 2>/dev/null; kill -TERM $pause 2>/dev/null' TERM INT HUP

deaths=0
while [ -z "$stopping" ]; do
  started=$(date +%s)
  "$@" </dev/null &
  server=$!
  [ -n "$stopping" ] && kill -INT "$server" # the signal may have come before we knew whom to stop
  while kill -0 "$server" 2>/dev/null; do
    wait "$server"
    status=$?
  done
  server=
  [ -n "$stopping" ] && break

  [ $(($(date +%s) - started)) -ge 60 ] && deaths=0
  deaths=$((deaths + 1))
  say deaths $deaths
  echo "guard: the server ended by itself (status $status, $deaths in a row); starting it again" >&2
  case $deaths in
    1) sleep 0.2 & ;;
    2) sleep 0.4 & ;;
    3) sleep 1 & ;;
    4) sleep 2 & ;;
    5) sleep 5 & ;;
    *) sleep 10 & ;;
  esac
  pause=$!
  wait "$pause"
  pause=
done
rm -f "$home/guard.pid" "$home/deaths"
