#!/bin/sh
# Says on the console how the boot went; started with everything else, it waits for the end of that.
state=$(systemctl is-system-running --wait)
failed=$(systemctl --failed --plain --no-legend | cut -d ' ' -f 1 | tr '\n' ' ')
agent=$(systemctl is-active coracle.service)
echo "board: $state after $(cut -d ' ' -f 1 /proc/uptime) s, agent $agent, failed: ${failed:-none}" > /dev/console
