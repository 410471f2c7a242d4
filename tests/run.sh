#!/usr/bin/env bash
# Builds RelayGate and runs all its tests: unit, engine, and interoperation with real programs.
# Last line: "N passed, N failed, N skipped". Exit code: 1 on a failure, with CI=true also on a skipped test.
#   tests/run.sh [FILTER]     FILTER: a part of the fully qualified test names (then only those run)
set -u
cd "$(dirname "$0")/.." || exit 1
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_CLI_USE_MSBUILD_SERVER=0 MSBUILDDISABLENODEREUSE=1 LC_ALL=C.UTF-8
filter="${1:-}"
passed=0 failed=0 skipped=0
began=$SECONDS

step() { printf '== %s (%d s)\n' "$*" $((SECONDS - began)); }
finish() {
  printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  [ "$failed" = 0 ] && { [ "${CI:-}" != true ] || [ "$skipped" = 0 ]; }
  exit
}
stop() { echo "tests/run.sh: $*"; failed=$((failed + 1)); finish; }

command -v dotnet >/dev/null || stop "dotnet is not installed or not in PATH: install the .NET 10 SDK"
sdk=$(dotnet --version 2>/dev/null) || stop "no .NET SDK that suits global.json: install the .NET 10 SDK"
case "$sdk" in 1[0-9].*) ;; *) stop "the .NET 10 SDK is needed, found $sdk" ;; esac

# --- Debian packages of the programs that the interoperation tests drive -------------------------------------------
packages="php-cli libphp-phpmailer msmtp swaks libnet-ssleay-perl curl openssl sqlite3 python3 opendkim-tools opendkim
  python3-dkim nsd unbound ldnsutils iproute2 util-linux sudo libgnutls-dane0 libidn12 libnsl2 libevent-2.1-7"
missing() {
  local p
  for p in $1; do
    dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || printf '%s ' "$p"
  done
}
install() { # PACKAGES: nothing is removed for them, no service is started, no question is asked
  local policy=/usr/sbin/policy-rc.d made=""
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null && $as_root chmod 755 $policy && made=yes
  fi
  # shellcheck disable=SC2086
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends --no-remove \
    -o DPkg::Lock::Timeout=120 $1 >"$results/apt.log" 2>&1 || { echo "apt-get could not install: $1"; tail -3 "$results/apt.log"; }
  [ -z "$made" ] || $as_root rm -f $policy
}
peers=/opt/relaygate-test-peers
unpack() { # NAME PROGRAM PACKAGES: next hops that conflict with Postfix as packages are unpacked, and run in namespaces of their own
  [ -x "$peers/$1/$2" ] && return
  step "unpack $1"
  # shellcheck disable=SC2086
  mkdir -p "$peers/$1" && (cd "$results" && rm -f ./*.deb && apt-get download -qq $3 >"$results/apt.log" 2>&1 && for deb in *.deb; do dpkg-deb -x "$deb" "$peers/$1" || exit 1; done) ||
    { echo "could not unpack $1"; tail -3 "$results/apt.log"; }
}
results=$(mktemp -d) || exit 1
trap 'rm -rf "$results"' EXIT

if command -v dpkg-query >/dev/null; then
  as_root=""
  [ "$(id -u)" = 0 ] || as_root="sudo -n"
  lacking="$(missing "$packages")$(missing postfix)"
  if [ -n "$lacking" ] && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then
    step "install $lacking"
    $as_root apt-get update -qq -o DPkg::Lock::Timeout=120 >/dev/null || echo "apt-get update failed"
    lacking="$(missing "$packages")"
    [ -z "$lacking" ] || install "$lacking"
    if [ -n "$(missing postfix)" ]; then # Only its smtp-source and smtp-sink are used; beside another mail server it is left out.
      echo "postfix postfix/main_mailer_type select No configuration" | $as_root debconf-set-selections
      install postfix
    fi
    lacking="$(missing "$packages")$(missing postfix)"
  fi
  if [ "$(id -u)" = 0 ]; then
    [ -x $peers/exim/usr/sbin/exim4 ] || apt-get update -qq -o DPkg::Lock::Timeout=120 >/dev/null || echo "apt-get update failed"
    unpack exim usr/sbin/exim4 "exim4-daemon-light exim4-base"
    unpack opensmtpd usr/sbin/smtpd opensmtpd
  fi
  [ -z "$lacking" ] || echo "Not installed (root or sudo is needed): $lacking- the tests that need them are skipped"
else
  echo "Not a Debian system: tests whose programs are missing are skipped"
fi

# --- build and format ----------------------------------------------------------------------------------------------
step "restore and build, warnings are errors"
quiet="-v:quiet -nologo -nodeReuse:false"
# shellcheck disable=SC2086
dotnet restore RelayGate.sln $quiet || stop "restore failed"
# shellcheck disable=SC2086
dotnet build RelayGate.sln -c Release --no-restore $quiet -p:UseSharedCompilation=false || stop "build failed"
step "format"
# Code style is checked by the build (EnforceCodeStyleInBuild); what remains is white space.
if ! dotnet format whitespace --folder . --verify-no-changes --exclude '**/bin/' '**/obj/' >"$results/format.log" 2>&1; then
  tail -20 "$results/format.log"
  echo "failed: dotnet format (run: dotnet format whitespace --folder .)"
  failed=$((failed + 1))
else
  passed=$((passed + 1))
fi

# --- tests ---------------------------------------------------------------------------------------------------------
number() { sed -n "s/.*<Counters [^>]*\b$1=\"\([0-9]*\)\".*/\1/p" "$2" | head -n 1; }
names() { # OUTCOME FILE
  grep -o '<UnitTestResult [^>]*>' "$2" | grep "outcome=\"$1\"" | sed 's/.*testName="\([^"]*\)".*/\1/; s/&quot;/"/g; s/&lt;/</g; s/&gt;/>/g; s/&amp;/\&/g' | sort
}
run_project() { # NAME SECONDS SECONDS-WITHOUT-A-TEST-BEGUN-OR-ENDED
  local trx="$results/$1.trx" log="$results/$1.log" total good bad code
  step "$1"
  timeout --kill-after=20 "$2" dotnet test "tests/$1/$1.csproj" -c Release --no-build --nologo -nodeReuse:false ${filter:+--filter "FullyQualifiedName~$filter"} \
    --blame-hang --blame-hang-timeout "$3s" --blame-hang-dump-type none \
    --results-directory "$results" --logger "trx;LogFileName=$1.trx" --logger "console;verbosity=minimal" >"$log" 2>&1
  code=$?
  if [ ! -s "$trx" ]; then
    [ -z "$filter" ] || ! grep -q 'No test matches' "$log" || return 0
    cat "$log"
    echo "failed: $1 ended with exit code $code and left no results$([ $code != 124 ] || echo " within $2 s")"
    failed=$((failed + 1))
    return
  fi
  total=$(number total "$trx") good=$(number passed "$trx") bad=$(names Failed "$trx" | grep -c .)
  # A test host that died leaves an exit code but perhaps no failed test; the log names the tests that were running.
  if [ "$code" != 0 ] && [ "$bad" = 0 ]; then
    echo "failed: $1 ended with exit code $code"
    bad=1
  fi
  if [ "${total:-0}" = 0 ] && [ -z "$filter" ]; then
    echo "failed: $1 holds no tests"
    bad=$((bad + 1))
  fi
  [ "$bad" = 0 ] || grep -v -e '^Results File' "$log"
  names Failed "$trx" | sed 's/^/failed: /'
  names NotExecuted "$trx" | sed 's/^/skipped: /'
  passed=$((passed + good)) failed=$((failed + bad)) skipped=$((skipped + $(names NotExecuted "$trx" | grep -c .)))
}
run_project RelayGate.Core.Tests 300 120
run_project RelayGate.Tests 900 240
run_project RelayGate.InteropTests 1800 900 # One storm of full size alone is silent for 9 minutes.
step "end"
finish
