#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs the programs beside it whose names end in its arguments, and prints a line for each:
#   RESULT name status [OK]s [FAIL]s [SKIP]s
# The same on the host and in the guest.
cd "$(dirname "$0")" || exit 1
logs=$(mktemp -d)
for suffix; do
	for program in *"$suffix"; do
		log=$logs/$program
		timeout -s KILL 60 "./$program" >"$log" 2>&1 </dev/null
		echo "RESULT $program $? $(grep -c '\[OK\]' "$log") $(grep -c '\[FAIL\]' "$log") $(grep -c '\[SKIP\]' "$log")"
		grep '\[FAIL\]' "$log" | head -n 5
		rm "$log"
	done
done
