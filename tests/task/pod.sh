# shellcheck shell=sh
# Runs a step's command in the private mount namespace that unshare made, as a container would:
#   pod.sh DIR BINARY UID:GID READ_ONLY_MOUNTS COMMAND...
# The folders in DIR are mounted at the same paths of a root folder that is read-only. Besides them
# that folder has the binary, what a runtime adds, and the machine's libraries: the test's binary is
# not static as the image's is.
set -eu
dir=$1 binary=$2 user=$3 read_only=$4
shift 4
mkdir -p "$dir/.root"
mount -t tmpfs tmpfs "$dir/.root"
cd "$dir/.root"
for folder in bin lib lib64 usr; do
    if [ -L "/$folder" ]; then
        cp -P "/$folder" .
    elif [ -d "/$folder" ]; then
        mkdir "$folder"
        mount --bind "/$folder" "$folder"
    fi
done
mkdir -p etc/ssl proc dev
mount -t proc proc proc
mount --rbind /dev dev
mount --bind /etc/ssl etc/ssl
printf '127.0.0.1 localhost registry.test\n' >etc/hosts
[ ! -e /etc/ld.so.cache ] || cp /etc/ld.so.cache etc
cp "$binary" recompress-image
chmod 755 recompress-image
for folder in tekton scratch mnt; do
    [ -d "$dir/$folder" ] || continue
    mkdir "$folder"
    mount --bind "$dir/$folder" "$folder"
done
for folder in $read_only; do
    mount --bind "$dir$folder" ".$folder"
    mount -o remount,bind,ro ".$folder"
done
mount -o remount,ro .
unset OLDPWD PWD
exec setpriv --no-new-privs --inh-caps=-all "$(command -v chroot)" --userspec="$user" --groups="" . "$@"
