# people.awk: a table of made-up people, numbers and categories mixed, whose dependencies are known.
#
#   awk -v rows=20000 -v seed=1 -f examples/people.awk >people.csv
#
# age          whole numbers, two humps: students around 22, others from 18 to 90 around 47
# education    none, school, college, doctor: chances by age
# city         eight towns, of 35 in 100 to 3 in 100
# commute      km, by city around 4, 15 or 40: three humps; 0 for who is not employed
# employed     yes or no: by age and education
# hours        of work in a week: 0 for who is not employed, 40 for half of the others, else 10 to 60
# income       a year's, two decimals, log-normal: by education, age and hours; missing for 6 in 100
# height, weight   cm and kg, correlation about 0.6
# children     0 to 5, by age
# buys         yes or no: logistic in income, age, children and city
function uniform() { state = state * 16807 % 2147483647; return state / 2147483647 } # Park and Miller 1988
function normal() { return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform()) }
function logistic(v) { return 1 / (1 + exp(-v)) }
function bound(v, low, high) { return v < low ? low : v > high ? high : v }
function pick(names, shares, n, i, u) { # one of the names, with these chances
    n = split(names, name, " ")
    split(shares, share, " ")
    u = uniform()
    for (i = 1; i < n && u >= share[i]; i++) u -= share[i]
    return name[i]
}
BEGIN {
    if (!rows) rows = 20000
    state = 7919 * seed + 104729
    for (i = 0; i < 10; i++) uniform()
    print "age,education,city,commute,employed,hours,income,height,weight,children,buys"
    for (r = 0; r < rows; r++) {
        age = int(bound(uniform() < 0.25 ? 22 + 2 * normal() : 47 + 14 * normal(), 18, 90))
        education = pick("none school college doctor", age < 25 ? "0.1 0.75 0.14 0.01" : age < 55 ? "0.08 0.4 0.4 0.12" : "0.2 0.5 0.24 0.06")
        city = pick("Ahlen Berne Cadiz Derby Essen Faro Genoa Hull", "0.35 0.2 0.14 0.1 0.08 0.06 0.04 0.03")
        schooling = education == "none" ? 0 : education == "school" ? 1 : education == "college" ? 2 : 3
        employed = uniform() < logistic(2.2 - 0.002 * (age - 42) ^ 2 + 0.4 * (schooling - 1)) ? "yes" : "no"
        hours = employed == "no" ? 0 : uniform() < 0.5 ? 40 : int(bound(34 + 9 * normal(), 10, 60))
        commute = employed == "no" ? 0 : bound(city ~ /^[ADG]/ ? 4 + normal() : city ~ /^[BEH]/ ? 15 + 2 * normal() : 40 + 5 * normal(), 0.1, 80)
        income = exp(9.6 + 0.25 * schooling + 0.008 * (age - 40) + 0.02 * hours + 0.25 * normal())
        tall = normal()
        height = 171 + 9.5 * tall
        weight = bound(74 + 8 * tall + 10.5 * normal(), 38, 160)
        children = 0
        for (i = 0; i < 5; i++) children += uniform() < (age < 25 ? 0.03 : age < 35 ? 0.2 : 0.35)
        buys = uniform() < logistic(2.5 * (log(income) - 10.4) - 0.03 * (age - 45) + 0.6 * (children - 1) + (city == "Ahlen" ? 1 : city == "Cadiz" ? -2 : 0)) ? "yes" : "no"
        printf "%d,%s,%s,%.1f,%s,%d,%s,%.1f,%.1f,%d,%s\n", age, education, city, commute, employed, hours,
            uniform() < 0.06 ? "" : sprintf("%.2f", income), height, weight, children, buys
    }
}
