// The sum of N values, four at a time: ceil(log4 N) registered stages.
module mep_tree #(
    parameter int N = 4,
    parameter int W = 8
) (
    input  logic           clk,
    input  logic [N*W-1:0] in,
    output logic [W-1:0]   sum
);
    if (N == 1) begin : leaf
        assign sum = in;
        wire unused = &{1'b0, clk};
    end else begin : node
        localparam int Q = (N + 3) / 4;
        logic [Q*W-1:0] part, part_next;
        always_comb begin
            part_next = '0;
            for (int n = 0; n < N; n++) part_next[(n/4)*W+:W] = part_next[(n/4)*W+:W] + in[n*W+:W];
        end
        always_ff @(posedge clk) part <= part_next;
        mep_tree #(.N(Q), .W(W)) above (.clk, .in(part), .sum);
    end
endmodule
