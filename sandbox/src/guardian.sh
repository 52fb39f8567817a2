# Guards a sandbox's folder ($1). Its standard input is a pipe whose other end
# only the owning process holds: when that process dies, however it dies, the
# read below returns; then the servers are stopped and the folder is removed.
# After an orderly end there is nothing left to do.
trap '' HUP INT QUIT TERM
read -r _
folder=$1

# Prints the process ids of the postmasters that run in the folder.
postmasters() {
    for file in "$folder"/*/data/postmaster.pid; do
        read -r pid < "$file" || continue
        # The file may be stale and its process id another program's by now.
        data=${file%/postmaster.pid}
        [ ! -d /proc/self ] || [ "$(readlink "/proc/$pid/cwd")" = "$data" ] || continue
        kill -0 "$pid" && echo "$pid"
    done
}

for pid in $(postmasters); do
    kill -CONT "$pid"   # a paused server would not hear of its end
    kill -QUIT "$pid"   # immediate shutdown
done

tries=0
while [ -n "$(postmasters)" ] && [ "$tries" -lt 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
for pid in $(postmasters); do
    kill -KILL "$pid"
done
rm -rf "$folder"
