#!/bin/sh
# Owns how kubelet and kube-apiserver are built: from the source alone, by Go alone (no network, no C compiler, no make).
#
#   kubernetes-build.sh SOURCE GO WORK OUT VERSION
#
# SOURCE is the unpacked source package (it carries all that it depends on), GO an unpacked Go, WORK a folder for what is
# only needed meanwhile. The programs are put into OUT.
set -eu
source=$1 work=$3 out=$4 version=$5
export GOROOT="$2" GOPATH="$work/path" GOCACHE="$work/cache" GOTMPDIR="$work/tmp" HOME="$work"
# As Debian builds it: with everything in the source's own folder of dependencies, and programs that need no library.
export GO111MODULE=off GOPROXY=off GOFLAGS= CGO_ENABLED=0 PATH="$GOROOT/bin:$PATH"

mkdir -p "$GOPATH/src/k8s.io" "$GOTMPDIR" "$out"
mv "$source" "$GOPATH/src/k8s.io/kubernetes"
cd "$GOPATH/src/k8s.io/kubernetes"
versions=
for package in component-base client-go/pkg; do
  versions="$versions -X k8s.io/kubernetes/vendor/k8s.io/$package/version.gitVersion=$version"
done
build() { nice -n 19 go build -ldflags "-s -w $versions" -o "$@"; }

echo 'building kubelet'
build "$out/kubelet" ./cmd/kubelet

echo 'building kube-apiserver'
# It describes its objects with code that is made from them, the one piece that the source does not carry.
build "$work/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
# Both are links to ./staging where the source has them itself.
packages=$(find -L pkg vendor/k8s.io -name '*.go' -not -path '*/k8s.io/code-generator/*' -not -path '*/k8s.io/sample-*' \
  -exec grep -l '^// +k8s:openapi-gen=' {} + | xargs -n 1 dirname | LC_ALL=C sort -u | sed 's|^|k8s.io/kubernetes/|')
nice -n 19 "$work/openapi-gen" --logtostderr -i "$(echo "$packages" | paste -s -d , -)" \
  -p k8s.io/kubernetes/pkg/generated/openapi -O zz_generated.openapi -o "$GOPATH/src" -r "$work/report" \
  -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt
build "$out/kube-apiserver" ./cmd/kube-apiserver
