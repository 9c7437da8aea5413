#!/usr/bin/env bash
# Installs the missing programs that the tests talk to. Tests whose peer is missing are skipped, so
# this script never fails; it prints what is missing and how to install it.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
need() { # package, then the commands or paths of its program
    local package=$1 place
    shift
    for place in "$@"; do
        if command -v "$place" >/dev/null; then return; fi
    done
    missing+=("$package")
}

need orthanc Orthanc /usr/sbin/Orthanc
if [ ! -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so ]; then missing+=(orthanc-dicomweb); fi
if [ ! -e /usr/share/orthanc/plugins/libOrthancWebViewer.so ]; then missing+=(orthanc-webviewer); fi
need dcmtk storescu
need redis-server redis-server
need postgresql initdb /usr/lib/postgresql/*/bin/initdb
need chromium chromium
need docker-compose docker-compose
need nodejs node
need npm npm
need patch patch
need default-jre-headless java
if [ ! -e /usr/share/java/pixelmed.jar ]; then missing+=(libpixelmed-java); fi
if [ ! -e /usr/share/java/bsh.jar ]; then missing+=(libbsh-java); fi

viewers() { # OHIF, and from their lock file the parsers of viewers; skipped if up to date
    local modules=tests/viewers/node_modules
    deploy/install-ohif.sh || true
    if [ "$modules" -nt tests/viewers/package-lock.json ] || ! command -v npm >/dev/null; then return; fi
    if npm ci --prefix tests/viewers --ignore-scripts --no-audit --no-fund --silent; then
        touch "$modules"
    else
        echo "peers: npm could not install tests/viewers; its tests are skipped." >&2
    fi
}

if [ ${#missing[@]} -eq 0 ]; then viewers; exit 0; fi
if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
    echo "peers: missing Debian packages: ${missing[*]}; their tests are skipped." >&2
    echo "peers: on Debian, run as root: apt-get install --no-install-recommends ${missing[*]}" >&2
    viewers
    exit 0
fi

echo "peers: installing ${missing[*]}" >&2
install() { # RUNLEVEL=1 keeps the packages' services stopped; tests start their own
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
}
install 2>/dev/null || { apt-get update -qq && install; } ||
    echo "peers: apt-get could not install ${missing[*]}; their tests are skipped." >&2
viewers
