# multiply A B: their product.
multiply() {
    echo $(($1 * $2))
}
