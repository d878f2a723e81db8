# shellcheck shell=sh
# Runs a command inside the peers' root folder, in the private mount namespace that unshare made:
#   enter.sh ROOT WORK COMMAND...
# WORK and, if it is set, the folder SHARED are visible inside under the same paths.
# The folder itself is only read: what a peer writes outside of WORK (blob info cache, locks) goes
# with the command, so that no case finds what another one left. Every mount goes too.
set -eu
root=$1 work=$2
shift 2
mkdir -p "$work/.root"
mount -t tmpfs tmpfs "$work/.root"
cd "$work/.root"
mkdir upper work root
mount -t overlay overlay -o "lowerdir=$root,upperdir=$PWD/upper,workdir=$PWD/work" root
mount -t proc proc root/proc
mount --rbind /sys root/sys
mount --rbind /dev root/dev
mount -t tmpfs tmpfs root/run
if [ -n "${SHARED:-}" ]; then
    mkdir -p "root$SHARED"
    mount --bind "$SHARED" "root$SHARED"
fi
mkdir -p "root$work"
mount --bind "$work" "root$work"
exec chroot root "$@"
