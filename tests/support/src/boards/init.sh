#!/bin/sh
# Loads what the board's disks need, and hands over to its own init.
export PATH=/bin
mount -t devtmpfs dev /dev
for module in $(cat /etc/modules); do
    # Some are for instructions that this processor does not have.
    insmod "/lib/modules/$module" 2> /dev/null
done
while ! [ -b /dev/vda ]; do sleep 0.1; done
mount -t ext4 /dev/vda /root || echo "board: no root"
mount --move /dev /root/dev
exec switch_root /root /sbin/init
