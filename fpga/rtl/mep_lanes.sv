// P lanes with two multipliers each: a word of weights goes to the row's unit through a tree, and to the P units below
// it; the same multipliers form both phases' products of an update, and the pull of the target.
// Numbers at the ends of names are stages of the pipeline; R = 5 + TREE is the stage in which sums are written and read.
module mep_lanes #(
`include "mep_config.svh"
) (
    input  logic                clk,
    input  logic [2:0]          kind_2,
    input  logic [P*WB-1:0]     weights_2,
    input  logic [P*SB-1:0]     word_a_2,
    input  logic [P*SB-1:0]     word_b_2,
    input  logic signed [SB-1:0] unit_a_2,
    input  logic signed [SB-1:0] unit_b_2,
    input  logic [P*(SB+1)-1:0] error_2,
    /* verilator lint_off UNUSEDSIGNAL */ // a node without the read-out has no use for it, and fewer bits (YB)
    input  logic signed [17:0]  beta,
    /* verilator lint_on UNUSEDSIGNAL */
    input  logic                down_4,       // add to the sums of the layer below
    input  logic                first_row_4,
    input  logic [SW-1:0]       down_address_4,
    input  logic                first_word_s, // of a row, with its sum: stage R - 1
    input  logic                up_r,         // a row is complete: write its sum
    input  logic [SW-1:0]       up_address_r,
    input  logic [LW-1:0]       up_lane_r,
    input  logic [SW-1:0]       read_address_r,
    output logic [P*MB-1:0]     plus_4,
    output logic [P*MB-1:0]     minus_4,
    output logic [P*UB-1:0]     up_word_r,
    output logic [P*DB-1:0]     down_word_r
);
    logic [P*UB-1:0] terms_4;
    logic [P*DB-1:0] down_old, down_new;
    logic [P*DB-1:0] down_memory[0:STATE_WORDS-1];
    for (genvar p = 0; p < P; p++) begin : lane
        wire signed [WB-1:0] weight = weights_2[WB*p+:WB];
        wire signed [SB-1:0] low_a = word_a_2[SB*p+:SB];
        wire signed [SB-1:0] low_b = word_b_2[SB*p+:SB];
        wire signed [SB:0] error = error_2[(SB+1)*p+:SB+1];
        logic signed [XB-1:0] first_3, second_3;
        logic signed [YB-1:0] first_by_3, second_by_3;
        logic signed [MB-1:0] product_a_4, product_b_4;
        always_ff @(posedge clk) begin
            case (kind_2)
                UPDATE: {first_3, first_by_3} <= {XB'(unit_a_2), YB'(low_a)};
                BIAS: {first_3, first_by_3} <= {XB'(1), YB'(low_a)};
                RELAX: {first_3, first_by_3} <= {XB'(error), YB'(beta)};
                default: {first_3, first_by_3} <= {XB'(weight), YB'(low_a)};
            endcase
            case (kind_2)
                UPDATE: {second_3, second_by_3} <= {XB'(unit_b_2), YB'(low_b)};
                BIAS: {second_3, second_by_3} <= {XB'(1), YB'(low_b)};
                default: {second_3, second_by_3} <= {XB'(weight), YB'(unit_a_2)};
            endcase
            product_a_4 <= MB'(first_3) * MB'(first_by_3);
            product_b_4 <= MB'(second_3) * MB'(second_by_3);
        end
        assign plus_4[MB*p+:MB] = product_a_4;
        assign minus_4[MB*p+:MB] = product_b_4;
        assign terms_4[UB*p+:UB] = UB'(product_a_4);
        assign down_new[DB*p+:DB] = DB'(product_b_4) + (first_row_4 ? '0 : down_old[DB*p+:DB]);

        logic [UB-1:0] up_memory[0:STATE_WORDS-1];
        always_ff @(posedge clk) if (up_r && up_lane_r == LW'(p)) up_memory[up_address_r] <= row_sum_r;
        assign up_word_r[UB*p+:UB] = up_memory[read_address_r];
    end

    assign down_old = down_memory[down_address_4];
    assign down_word_r = down_memory[read_address_r];
    always_ff @(posedge clk) if (down_4) down_memory[down_address_4] <= down_new;

    logic [UB-1:0] word_sum_s, row_sum_r;
    mep_tree #(.N(P), .W(UB)) tree (.clk, .in(terms_4), .sum(word_sum_s));
    always_ff @(posedge clk) row_sum_r <= (first_word_s ? '0 : row_sum_r) + word_sum_s;
endmodule
