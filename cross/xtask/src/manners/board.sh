#!/bin/sh
# Rounds of the workload alone, beside our update, beside one that gives way to nobody, and beside podman's, each with a
# cold cache on the slow disk; whoever comes first is another one each time. All figures go to the console.
# Words: rounds, requests a second, the image.
rounds=$1 rate=$2 image=$3
place=/var/lib/coracle/manners
mkdir -p "$place"
say() { echo "manners: $*" > /dev/console; }
now() { cut -d ' ' -f 1 /proc/uptime; }

measure() { # ROUND NAME COMMAND...
    round=$1 name=$2
    shift 2
    sync
    echo 3 > /proc/sys/vm/drop_caches
    rm -f /run/manners.stop /run/manners.said "$place/records"
    systemd-run --quiet --wait --pipe --slice=coracle.slice \
        /opt/manners/xtask meter "$place/records" "$rate" /run/manners.stop > /run/manners.said &
    until grep -q ready /run/manners.said; do sleep 0.2; done
    sleep 2
    from=$(now)
    "$@"
    ended=$?
    to=$(now)
    sleep 5
    touch /run/manners.stop
    wait
    say "run $round $name $ended $from $to $(tail -n 1 /run/manners.said)"
}

ours() { # UNIT
    systemctl start "$1"
    ended=$?
    say "$1 $(grep -o '"restedMs":[0-9]*' /run/manners.pull)"
    coracle prune > /dev/null
    return $ended
}

podman() {
    mkdir -p "$place/podman"
    systemd-run --quiet --wait --pipe --setenv=LD_LIBRARY_PATH=/opt/manners/lib \
        --setenv=CONTAINERS_STORAGE_CONF=/opt/manners/storage.conf --setenv=CONTAINERS_CONF=/opt/manners/containers.conf \
        --setenv=HOME="$place/podman" --setenv=TMPDIR="$place/podman" \
        /opt/manners/podman pull --quiet --tls-verify=false --signature-policy /opt/manners/policy.json "$image" \
        > /dev/console 2>&1
}

part() { # ROUND NUMBER
    case $2 in
        0) measure "$1" alone sleep 15 ;;
        1) measure "$1" coracle ours manners-pull.service ;;
        2) measure "$1" urgent ours manners-urgent.service ;;
        3) measure "$1" podman podman; rm -rf "$place/podman" ;;
    esac
}

for round in $(seq 0 $((rounds - 1))); do
    for turn in 0 1 2 3; do part "$round" $(((turn + round) % 4)); done
done
say done
