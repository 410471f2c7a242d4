#!/usr/bin/env bash
# Makes a self-signed certificate for development: relay.pem and relay.key. Existing files are kept.
#   certs/make-dev-cert.sh [HOSTNAME] [FOLDER]     default: localhost, the folder of this script
set -euo pipefail
name="${1:-localhost}"
folder="${2:-$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)}"
if [ -e "$folder/relay.pem" ] || [ -e "$folder/relay.key" ]; then
  echo "$folder/relay.pem or relay.key exists already: remove both to make new ones" >&2
  exit 1
fi
umask 077
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256 -days 365 -subj "/CN=$name" \
  -addext "subjectAltName=DNS:$name,DNS:localhost,IP:127.0.0.1,IP:::1" -keyout "$folder/relay.key" -out "$folder/relay.pem" 2>/dev/null
chmod 644 "$folder/relay.pem"
echo "made $folder/relay.pem and $folder/relay.key for $name, good for one year"
