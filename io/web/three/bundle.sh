#!/bin/sh
# Makes three.min.js, the parts of three that entry.js names as one script that defines THREE, and copies its licence.
# Needs Node.js with npm; only who changes entry.js or the versions in package.json runs it.
set -eu
cd "$(dirname "$0")"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp entry.js package.json "$scratch"
(
	cd "$scratch"
	npm install --no-package-lock --no-audit --no-fund --silent
	npx esbuild entry.js --bundle --minify --tree-shaking=true --format=iife --global-name=THREE --target=es2022 --charset=utf8 --legal-comments=none --outfile=three.min.js --log-level=warning
)
cp "$scratch/three.min.js" .
cp "$scratch/node_modules/three/LICENSE" LICENSE
