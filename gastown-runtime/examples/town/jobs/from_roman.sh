# from_roman NUMERAL: the number that it stands for.
from_roman() {
    rest=$1
    number=0
    for pair in X:10 IX:9 V:5 IV:4 I:1; do
        letters=${pair%%:*}
        while [ "${rest#"$letters"}" != "$rest" ]; do
            rest=${rest#"$letters"}
            number=$((number + ${pair#*:}))
        done
    done
    echo "$number"
}
