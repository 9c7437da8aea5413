#!/usr/bin/env bash
# Unpacks the OHIF viewer, as its npm package ships it built, into .tools/ohif; for tests and the demo.
# `npm install` of the package would resolve hundreds of others that the built viewer does not need.
set -euo pipefail
cd "$(dirname "$0")/.."

version=3.13.2
sha512=WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA==
target=.tools/ohif

fail() {
    echo "ohif: $1; tests with OHIF are skipped, and \`sonogate demo --ohif\` does not run." >&2
    exit 1
}

if grep -qs "\"version\": \"$version\"" "$target/package.json"; then exit 0; fi
for program in npm tar openssl; do
    command -v "$program" >/dev/null || fail "$program is not installed (Debian: apt-get install $program)"
done

mkdir -p .tools
work=$(mktemp -d .tools/ohif-XXXXXX) # beside the target, so that the last step is a rename
trap 'rm -rf "$work"' EXIT
echo "ohif: fetching @ohif/app $version from npm (50 MB)" >&2
if ! timeout 300 npm pack --silent --pack-destination "$work" "@ohif/app@$version" >/dev/null; then
    fail "npm could not fetch @ohif/app $version: it needs the network, or a registry in npm's configuration"
fi
archive=$work/ohif-app-$version.tgz
if [ "$(openssl dgst -sha512 -binary "$archive" | base64 -w 0)" != "$sha512" ]; then
    fail "the fetched @ohif/app $version is not the file whose SHA-512 is in deploy/install-ohif.sh"
fi
tar -xzf "$archive" -C "$work" --no-same-owner
chmod 755 "$work/package"
rm -rf "$target"
mv "$work/package" "$target"
