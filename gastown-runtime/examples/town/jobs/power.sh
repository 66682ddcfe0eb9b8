# power BASE EXPONENT: needs multiply.
power() {
    result=1
    times=$2
    while [ "$times" -gt 0 ]; do
        result=$(multiply "$result" "$1")
        times=$((times - 1))
    done
    echo "$result"
}
