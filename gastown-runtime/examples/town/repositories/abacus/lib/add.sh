# add A B: their sum.
add() {
    echo $(($1 + $2))
}
