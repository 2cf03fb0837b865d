# Makes the root disk $4 from the tree $1, the kernel's modules $2 and the package $3; then come folders of files.
# It runs where programs of the tree's architecture do, and its mounts end with it.
tree=$1 modules=$2 package=$3 disk=$4; shift 4
root=$(dirname "$disk")/root
mkdir -p "$root"
mount -t tmpfs tmpfs "$root"
cp -a "$tree/." "$root"
cp -r "$modules" "$root/usr/lib/"
cp "$package" "$root/tmp/package.deb"
mount --rbind /proc "$root/proc"
chroot "$root" env DEBIAN_FRONTEND=noninteractive dpkg --install /tmp/package.deb
umount -l "$root/proc"
rm "$root/tmp/package.deb"
for files in "$@"; do cp -rT "$files" "$root"; done
rm -f "$disk"
mke2fs -q -t ext4 -L root -m 0 -d "$root" "$disk" 640M
