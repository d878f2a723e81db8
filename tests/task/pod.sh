# shellcheck shell=sh
# Runs a step's command in the private mount namespace that unshare made, as a container would:
#   pod.sh DIR CONTENT EMULATOR UID:GID READ_ONLY_MOUNTS COMMAND...
# The folders in DIR are mounted at the same paths of a root folder that is read-only. Besides them
# that folder has what a runtime adds, and CONTENT: the root folder of an image, or else the program
# and the machine's libraries, because the test's program is not static as the image's is.
set -eu
dir=$1 content=$2 emulator=$3 user=$4 read_only=$5
shift 5
mkdir -p "$dir/.root"
mount -t tmpfs tmpfs "$dir/.root"
cd "$dir/.root"
if [ -d "$content" ]; then
    cp -a "$content/." .
else
    for folder in bin lib lib64 usr; do
        if [ -L "/$folder" ]; then
            cp -P "/$folder" .
        elif [ -d "/$folder" ]; then
            mkdir "$folder"
            mount --bind "/$folder" "$folder"
        fi
    done
    mkdir -p etc/ssl
    mount --bind /etc/ssl etc/ssl
    [ ! -e /etc/ld.so.cache ] || cp /etc/ld.so.cache etc
    cp "$content" recompress-image
    chmod 755 recompress-image
fi
mkdir -p etc proc dev
mount -t proc proc proc
mount --rbind /dev dev
cp "$dir/hosts" etc/hosts
[ ! -e "$dir/resolv.conf" ] || cp "$dir/resolv.conf" etc
for folder in tekton scratch mnt; do
    [ -d "$dir/$folder" ] || continue
    mkdir "$folder"
    mount --bind "$dir/$folder" "$folder"
done
for folder in $read_only; do
    mount --bind "$dir$folder" ".$folder"
    mount -o remount,bind,ro ".$folder"
done
if [ -n "$emulator" ]; then
    cp "$emulator" emulator
    set -- /emulator "$@"
fi
mount -o remount,ro .
unset OLDPWD PWD
exec setpriv --no-new-privs --inh-caps=-all "$(command -v chroot)" --userspec="$user" --groups="" . "$@"
