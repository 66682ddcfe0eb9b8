# to_roman NUMBER: the number in Roman numerals, up to 39.
to_roman() {
    left=$1
    roman=
    for pair in 10:X 9:IX 5:V 4:IV 1:I; do
        while [ "$left" -ge "${pair%%:*}" ]; do
            roman=$roman${pair#*:}
            left=$((left - ${pair%%:*}))
        done
    done
    echo "$roman"
}
