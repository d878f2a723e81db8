# The images that hack/bench converts. Versions and times are fixed: it is the same image wherever
# it is built, except for small, debian and edits, which are as old as the peers' root folder.
# shellcheck shell=bash disable=SC2154  # work and peers are set by hack/bench

npm_packages=(@mui/icons-material@9.5.0 @mui/material@9.5.0 antd@6.6.8 aws-sdk@2.1693.0
    core-js@3.51.0 date-fns@4.4.0 lodash@4.18.1 next@16.4.6 rxjs@7.8.2 three@0.187.0)
wheels=(matplotlib==3.11.2 numpy==2.4.6 pyarrow==26.0.1 scipy==1.17.1)
wheels_before=(pandas==3.1.0 scikit-learn==1.9.0)
wheels_after=(pandas==3.1.1 scikit-learn==1.9.1)
libraries_before=(matplotlib==3.11.1 numpy==2.4.5 pyarrow==26.0.0 scipy==1.17.0)
libraries_after=("${wheels[@]}")
bundles_kept=(lodash@4.18.1 rxjs@7.8.2)
bundles_before=(@mui/material@9.4.0 antd@6.6.7 core-js@3.50.0 next@16.4.5 three@0.186.1)
bundles_after=(@mui/material@9.5.0 antd@6.6.8 core-js@3.51.0 next@16.4.6 three@0.187.0)
app_packages=(@aws-sdk/client-s3 @reduxjs/toolkit axios eslint express pg prettier react react-dom
    typescript webpack webpack-cli zod)

# build_corpus NAME: leaves an OCI image layout in $work/corpora/NAME, with the tag t.
build_corpus() {
    say "building the corpus $1"
    corpus=$work/run/corpus
    rm -rf --one-file-system -- "$corpus" "$work/run/tree"
    mkdir -p "$corpus/blobs/sha256" "$work/run/tree"
    layers=()
    diff_ids=()
    case $1 in
    small) small_layers ;;
    debian) debian_layers ;;
    node) node_tree "${npm_packages[@]}" ;;
    python) python_tree "${wheels[@]}" "${wheels_before[@]}" ;;
    python-next) python_tree "${wheels[@]}" "${wheels_after[@]}" ;;
    libraries) python_tree "${libraries_before[@]}" ;;
    libraries-next) python_tree "${libraries_after[@]}" ;;
    bundles) node_tree "${bundles_kept[@]}" "${bundles_before[@]}" ;;
    bundles-next) node_tree "${bundles_kept[@]}" "${bundles_after[@]}" ;;
    app) app_tree 2026-10-01 ;;
    app-next) app_tree 2026-11-01 ;;
    edits) edits_tree ;;
    edits-next) edits_tree && python3 benches/end-to-end/edits.py "$work/run/tree" ;;
    big) big_tree ;;
    *) fail "there is no corpus $1" ;;
    esac
    [[ $1 == small || $1 == debian ]] || layer "$work/run/tree" .
    image
    mv -T "$corpus" "$work/corpora/$1"
    rm -rf --one-file-system -- "$work/run/tree"
}

# A base, an application, and what is changed last.
small_layers() {
    layer "$peers" etc usr/lib/x86_64-linux-gnu usr/sbin
    node_tree "${npm_packages[@]:6:1}" "${npm_packages[@]:8:1}"
    layer "$work/run/tree" node_modules
    layer "$peers" etc/passwd
}

debian_layers() {
    layer "$peers" usr/lib
    layer "$peers" usr/share
    layer "$peers" etc var usr/bin usr/sbin
}

node_tree() {
    local package file dir
    need npm:npm
    for package in "$@"; do
        file=$(cd "$work/run" && npm pack --silent --cache "$work/npm" "$package")
        dir=$work/run/tree/node_modules/${package%@*}
        mkdir -p "$dir"
        tar -C "$dir" --strip-components=1 --no-same-owner -xzf "$work/run/$file"
        rm "$work/run/$file"
    done
}

# app_tree DATE: an application with all its dependencies, as they were on that day.
app_tree() {
    need npm:npm
    npm install --silent --prefix "$work/run/tree" --cache "$work/npm" --ignore-scripts \
        --no-bin-links --no-package-lock --before="$1" "${app_packages[@]}" >&2
}

# A large program, and files of 70 to 700 KB.
edits_tree() {
    local file
    cp "$peers/usr/bin/podman" "$work/run/tree"
    find "$peers/usr" -type f -size +70k -size -700k ! -name '*.gz' | sort |
        awk 'NR % 20 == 1 && count++ < 100' | while read -r file; do cp -n "$file" "$work/run/tree"; done
}

python_tree() {
    local wheel
    need python3:python3 pip3:python3-pip
    python3 -m pip download --quiet --dest "$work/run/wheels" --no-deps --only-binary=:all: \
        --implementation cp --python-version 3.11 --abi cp311 --platform manylinux_2_28_x86_64 \
        --platform manylinux2014_x86_64 "$@" >&2
    for wheel in "$work"/run/wheels/*.whl; do
        python3 -m zipfile -e "$wheel" "$work/run/tree/site-packages"
    done
    rm -r "$work/run/wheels"
}

# noise SEED BYTES: what nobody can compress, the same bytes each time.
noise() {
    head -c "$2" /dev/zero |
        openssl enc -aes-128-ctr -nosalt -K "$(printf '%032x' "$1")" -iv "$(printf '%032x' 0)"
}

# Files of 600 MB, as disks and models are.
big_tree() {
    local file part
    need openssl:openssl
    for file in 1 2; do
        for part in {1..25}; do mixture "$file" "$part"; done >"$work/run/tree/big-$file"
    done
}

# mixture FILE PART: 24 MB of noise, a run of zeros, repetitions.
mixture() {
    noise "$1$2" $((6 << 20))
    noise "$2$1" $((3 << 20)) | base64
    head -c $((8 << 20)) /dev/zero
    seq -f 'line %.0f of a log that says much the same in each of them' 100000
}

# layer BASE PATH...: the next layer of the image, with the directories that the paths are in.
layer() {
    local tar=$work/run/layer.tar base=$1 path parents
    shift
    mapfile -t parents < <(
        for path in "$@"; do
            while path=$(dirname "$path") && [[ $path != . ]]; do echo "$path"; done
        done | sort -u
    )
    tar -C "$base" --sort=name --mtime=@1700000000 --owner=0 --group=0 --numeric-owner \
        -cf "$tar" --no-recursion "${parents[@]}" --recursion "$@"
    add_layer "$tar"
}

# add_layer TAR: the next layer of the image, compressed as builders do. Takes the file away.
add_layer() {
    diff_ids+=("\"sha256:$(digest_of "$1")\"")
    gzip "-${gzip_level:-6}n" "$1"
    say "layer of $(stat -c %s "$1.gz") bytes"
    layers+=("$(blob application/vnd.oci.image.layer.v1.tar+gzip "$1.gz")")
}

digest_of() { sha256sum "$1" | cut -d ' ' -f 1; }

# blob MEDIA_TYPE FILE: moves the file into the layout and prints its descriptor.
blob() {
    local digest size
    digest=$(digest_of "$2")
    size=$(stat -c %s "$2")
    mv "$2" "$corpus/blobs/sha256/$digest"
    printf '{"mediaType":"%s","digest":"sha256:%s","size":%d}' "$1" "$digest" "$size"
}

image() {
    local IFS=, oci=application/vnd.oci.image file=$work/run/document config manifest
    printf '{"os":"linux","architecture":"amd64","config":{},"rootfs":{"type":"layers","diff_ids":[%s]}}' \
        "${diff_ids[*]}" >"$file"
    config=$(blob $oci.config.v1+json "$file")
    printf '{"schemaVersion":2,"mediaType":"%s","config":%s,"layers":[%s]}' \
        $oci.manifest.v1+json "$config" "${layers[*]}" >"$file"
    manifest=$(blob $oci.manifest.v1+json "$file")
    printf '{"schemaVersion":2,"manifests":[%s,"annotations":{"org.opencontainers.image.ref.name":"t"}}]}' \
        "${manifest%\}}" >"$corpus/index.json"
    printf '{"imageLayoutVersion":"1.0.0"}' >"$corpus/oci-layout"
}
