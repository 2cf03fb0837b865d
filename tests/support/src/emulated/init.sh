#!/bin/sh
# The board's whole init system: modules, mounts, network, and the agent, started again whenever it ends.
export PATH=/bin:/usr/bin:/sbin:/usr/sbin

if [ ! -e /board ]; then
    # A runtime cannot change the root while it is the kernel's own; move to one of ours.
    mkdir /new
    mount -t tmpfs root /new
    cp -a /bin /etc /init /lib /lib64 /usr /new/
    mkdir /new/proc /new/sys /new/dev /new/run /new/tmp /new/var /new/var/lib /new/var/lib/coracle /new/root
    : > /new/board
    exec switch_root /new /init
fi

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for module in $(cat /etc/modules); do
    insmod "/lib/modules/$module" || echo "board: no module $module"
done
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2

disk=/dev/vda
if [ -e /dev/vdb ]; then
    dmsetup create noted --table "0 $(cat /sys/block/vda/size) log-writes /dev/vda /dev/vdb"
    dmsetup mknodes
    disk=/dev/mapper/noted
fi
mount -t ext4 "$disk" /var/lib/coracle || echo "board: no state disk"
echo "board: up after $(cut -d ' ' -f 1 /proc/uptime) s"
# A board that lies about what is durable, for those who want to see that it is found out.
[ ! -e /etc/preload ] || preload=$(cat /etc/preload)
if [ -n "$MEMORY_MAX" ]; then
    group=/sys/fs/cgroup/agent
    echo +memory > /sys/fs/cgroup/cgroup.subtree_control
    mkdir $group
    echo "$MEMORY_MAX" > $group/memory.max
    while sleep 1; do
        echo "board: memory peak $(cat $group/memory.peak) $(cat $group/memory.events)" | tr '\n' ' '
        echo
    done &
fi
while :; do
    (
        [ -z "$MEMORY_MAX" ] || echo 0 > $group/cgroup.procs
        LD_PRELOAD=$preload coracle agent
    )
    echo "board: the agent ended with $?"
    sleep 1
done
