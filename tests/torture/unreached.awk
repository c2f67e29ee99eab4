# Reads what `cargo llvm-cov report --text` prints, and prints the places that no run came by: file, function, text.
#
# There, a line is "  LINE|  COUNT|SOURCE"; below one that was reached, "^0" points at parts that were not. What is compiled
# for tests, and backends that this kernel does not have, do not count; neither do lines that only close something. Of a function
# that was never called nothing else is told, and of several lines in a row only the first.

function place(text) {
    gsub(/^ +| +$/, "", text)
    gsub(/\t/, " ", text)
    if (text !~ /^[][(){};,? ]*([(]in part[)])?$/ && !is_test) print file "\t" name "\t" text
}

/^\/.*:$/ {
    file = $0
    sub(/:$/, "", file)
    is_ours = sub(/.*\/reactor\/src\//, "", file) && file ~ /^(readiness|event_loop)\// && file !~ /\/(sim|kqueue)\.rs$/
    name = "-"
    is_called = 1
    is_test = 0
    next
}

!is_ours { next }

/^ *[0-9]+\|/ {
    split($0, columns, "|")
    count = columns[2]
    source = substr($0, length(columns[1]) + length(columns[2]) + 3)
    gsub(/ /, "", count)
    if (source ~ /^#\[cfg\((all\()?test/ || source ~ /^mod tests/) is_test = 1
    if (match(source, /(^|[ (])fn [a-z_0-9]+/)) {
        name = substr(source, RSTART, RLENGTH)
        sub(/.*fn /, "", name)
        is_called = count != "0"
        if (!is_called) place("never called")
    }
    if (count == "0" && is_called && !is_going_on) place(source)
    if (count != "") is_going_on = count == "0"
    next
}

/\^0/ { place(source "  (in part)") }
